"""Results: one JSON line each, appended whole and never overwritten."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from art_gym.common.messages import one_line
from art_gym.common.reading import parse_json, read_text
from art_gym.samplers.plans import Plan, is_sampler, levels_of
from art_gym.samplers.sampler import Sampler

from .suite import Cell

MOST_BYTES = 2**28  # of a file of results
DIGITS = 7  # of a plan's numbers

Key = tuple[str, str, Cell, int, str]


@dataclass(frozen=True)
class Line:
    """The result of one method in one cell with one seed.

    Attributes:
        suite: its name.
        algorithm: name of the method.
        kind: its class, one of `art_gym.agents.benchmark.method.KINDS`.
        actions: "grid" for levels, "sampler" for all of a step.
        task, solver, num_steps: the cell.
        seed: of the method and of the held-out noises.
        commit: of the code.
        steps: of an environment that training played; 0 for methods without one.
        calls: evaluations of the denoiser for one latent, those for precise endpoints included.
        error: mean endpoint error on the seed's held-out noises.
        score: 0 for EDM's grid and 1 for the best grid or sampler known; None where EDM's grid is the best, and in
            results of others, for which the report computes it.
        seconds: of CPU time, without precise endpoints.
        hyperparameters: hash of all that the result depends on beside the seed.
        sigmas, told, weights: the plan. None for a policy that follows the sample; the last two None for a grid.
    """

    suite: str
    algorithm: str
    kind: str
    actions: str
    task: str
    solver: str
    num_steps: int
    seed: int
    commit: str
    steps: int
    calls: int
    error: float
    score: float | None
    seconds: float
    hyperparameters: str
    sigmas: list[float] | None = None
    told: list[float] | None = None
    weights: list[list[float]] | None = None

    @property
    def cell(self) -> Cell:
        """Where it was measured."""
        return Cell(self.task, self.solver, self.num_steps)

    @property
    def key(self) -> Key:
        """What it is the result of. Running a suite again makes only results with new keys."""
        return self.suite, self.algorithm, self.cell, self.seed, self.hyperparameters

    def to_json(self) -> str:
        """One line of a file, without what is None."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None or name == "score"})


def hash_of(algorithm: str, settings: Mapping[str, Any]) -> str:
    """A short hash of a method's hyperparameters."""
    text = json.dumps([algorithm, settings], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def numbers_of(plan: Plan | None) -> dict[str, Any]:
    """A plan as fields of a `Line`."""
    if plan is None:
        return {}
    sigmas = _rounded(levels_of(plan).tolist())
    if not is_sampler(plan):
        return {"sigmas": sigmas}
    sampler = plan if isinstance(plan, Sampler) else Sampler.made(plan, "")  # type: ignore[arg-type]
    return {"sigmas": sigmas, "told": _rounded(sampler.told), "weights": [_rounded(row) for row in sampler.weights]}


def plan_of(numbers: Mapping[str, Any]) -> Plan | None:
    """The plan in such fields. Raises a ValueError for numbers that are none."""
    if numbers.get("sigmas") is None:
        return None
    if numbers.get("told") is None:
        return tuple(numbers["sigmas"])
    return Sampler(tuple(numbers["sigmas"]), tuple(numbers["told"]), tuple(map(tuple, numbers["weights"])), "")


def append(file: Path, line: Line) -> None:
    """Add a line. It is written at once, so that a killed process leaves it whole or leaves nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a+b", buffering=0) as opened:  # other processes may append too: each write goes to the end
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(size - 1, 0))
        torn = opened.read(1) not in (b"", b"\n")  # the disk was full, or the machine fell
        opened.write((("\n" if torn else "") + line.to_json() + "\n").encode())
        os.fsync(opened.fileno())


def read(files: Iterable[Path]) -> list[Line]:
    """The lines of some files, those that do not exist being empty. A later line of a key replaces an earlier one.

    Raises:
        ValueError: for a file that cannot be read, or a line that is no result.
    """
    found: dict[Key, Line] = {}
    for file in files:
        for number, values in _objects(file):
            try:
                line = Line(**{"score": None, **values})
            except TypeError as error:
                raise ValueError(f"{file}, line {number} is no result: {one_line(error, 200)}") from None
            found[line.key] = line
    return list(found.values())


def _objects(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects in a file of JSON lines with their numbers. A torn line, which is no JSON, is left out."""
    try:
        text = read_text(file, MOST_BYTES) if file.exists() else ""
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values = parse_json(line)
        except ValueError:
            continue
        if not isinstance(values, dict):
            raise ValueError(f"{file}, line {number} is no result: it is not a JSON object")
        yield number, values


def _rounded(numbers: Iterable[float]) -> list[float]:
    return [float(f"{number:.{DIGITS}g}") for number in numbers]
