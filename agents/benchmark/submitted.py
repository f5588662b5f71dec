"""Checks of results that others measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from art_gym.common.messages import one_line
from art_gym.common.reading import parse_json, read_text

from .method import KINDS
from .results import MOST_BYTES, Key, Line, plan_of
from .scale import load_scale, measured, target_of
from .suite import Suite, load_suite, suite_names

SAME = 1e-3  # relative difference of two errors: other processors round otherwise
SAME_SCORE = 1e-3
OPTIONAL = ("score", "sigmas", "told", "weights")
_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBERS = {"type": "array", "items": {"type": "number"}, "maxItems": 1001}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [field.name for field in fields(Line) if field.name not in OPTIONAL],
    "properties": {
        "suite": _TEXT,
        "algorithm": {**_TEXT, "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
        "kind": {"enum": [*KINDS]},
        "actions": {"enum": ["grid", "sampler"]},
        "task": _TEXT,
        "solver": _TEXT,
        "num_steps": {"type": "integer", "minimum": 2},
        "seed": _COUNT,
        "commit": _TEXT,
        "steps": _COUNT,
        "calls": _COUNT,
        "error": {"type": "number", "exclusiveMinimum": 0},
        "score": {"type": ["number", "null"]},
        "seconds": {"type": "number", "minimum": 0},
        "hyperparameters": _TEXT,
        "sigmas": _NUMBERS,
        "told": _NUMBERS,
        "weights": {"type": "array", "items": _NUMBERS, "maxItems": 1000},
    },
}


def check(file: Path, measure: int) -> str:
    """Check a file of JSON lines, and say what it holds.

    Args:
        file: results of one suite.
        measure: how many plans are measured again, drawn at random.

    Raises:
        ValueError: for the first mistake; the message names the line.
    """
    lines = _lines(file)
    if not lines:
        raise ValueError(f"{file} holds no result: it needs a JSON line for each run")
    suite = load_suite(next(iter(lines.values())).suite)
    for number, line in lines.items():
        if said := _wrong(line, suite):
            raise ValueError(f"{file}, line {number}: {said}")
    plans = {number: line for number, line in lines.items() if line.sigmas is not None}
    drawn = np.random.default_rng().permutation([*plans])[:measure].tolist()
    for number in drawn:
        _measure_again(f"{file}, line {number}", plans[number], suite)
    return _summary(list(lines.values()), suite, len(drawn))


def _lines(file: Path) -> dict[int, Line]:
    """Lines by number, in the right form and each of its own key."""
    try:
        text = read_text(file, MOST_BYTES)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
    found: dict[int, Line] = {}
    keys: dict[Key, int] = {}
    for number, written in enumerate(text.splitlines(), start=1):
        try:
            values = parse_json(written)
            jsonschema.validate(values, SCHEMA)
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from None
        except jsonschema.ValidationError as error:
            raise ValueError(f"{file}, line {number}: {one_line(error.json_path, 60)}: {_said(error)}") from None
        line = Line(**{"score": None, **values})
        if line.key in keys:
            raise ValueError(f"{file}, line {number}: line {keys[line.key]} is the same run: leave one out")
        keys[line.key] = number
        found[number] = line
    return found


def _said(error: jsonschema.ValidationError) -> str:
    return one_line(error.message, 200)


def _wrong(line: Line, suite: Suite) -> str | None:
    """What is wrong with a line, if anything."""
    if line.suite != suite.name:
        return f"suite {one_line(line.suite, 40)} and suite {suite.name} in one file: choose one of {suite_names()}"
    try:
        group = suite.group(line.cell)
    except ValueError as error:
        return str(error)
    if line.seed >= len(group.firsts):
        return f"seed must be from 0 to {len(group.firsts) - 1}, got {line.seed}"
    if (line.solver == "sampler") != (line.actions == "sampler"):
        return f"actions {line.actions!r} do not fit the solver {line.solver!r}: samplers have the solver 'sampler'"
    if line.sigmas is not None and len(line.sigmas) != line.num_steps + 1:
        return f"sigmas must be {line.num_steps + 1} levels for {line.num_steps} steps, got {len(line.sigmas)}"
    score = load_scale(suite.name)[line.cell].score(line.error, line.seed)
    said, known = (math.nan if value is None else value for value in (line.score, score))
    if line.score is not None and not math.isclose(said, known, abs_tol=SAME_SCORE):
        return f"an error of {line.error:g} has the score {score} in {line.cell}, got {line.score}"
    return None


def _measure_again(where: str, line: Line, suite: Suite) -> None:
    """Raise a ValueError if a plan is none, or has another error."""
    numbers: Mapping[str, Any] = {"sigmas": line.sigmas, "told": line.told, "weights": line.weights or ()}
    group = suite.group(line.cell)
    try:
        plan = plan_of(numbers)
        assert plan is not None
        error = measured(target_of(line.cell), plan, group, group.firsts[line.seed])
    except ValueError as wrong:
        raise ValueError(f"{where}: {wrong}") from None
    floor = load_scale(suite.name)[line.cell].floor
    if not math.isclose(error, line.error, rel_tol=SAME, abs_tol=floor):
        raise ValueError(f"{where}: the plan has the error {error:.6g} with seed {line.seed}, not {line.error:.6g}")


def _summary(lines: list[Line], suite: Suite, measured_again: int) -> str:
    scale = load_scale(suite.name)
    parts = [f"{len(lines)} results of suite {suite.name}, all well-formed; {measured_again} plans measured again"]
    for algorithm in sorted({line.algorithm for line in lines}):
        some = [line for line in lines if line.algorithm == algorithm]
        cells = {line.cell for line in some}
        whole = [cell for cell in suite.cells() if (cell.solver == "sampler") == (some[0].actions == "sampler")]
        scores = [score for line in some if (score := scale[line.cell].score(line.error, line.seed)) is not None]
        mean = f"{np.mean(scores):.3f}" if scores else "–"
        parts.append(f"{algorithm}: {len(some)} runs in {len(cells)} of {len(whole)} cells, mean score {mean}")
    return "\n".join(parts)
