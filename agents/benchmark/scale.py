"""The scale of a suite, stored beside it: for each cell and seed the errors that have the scores 0 and 1."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from art_gym.common.files import write_text
from art_gym.common.messages import one_line
from art_gym.common.reading import parse_json
from art_gym.envs.config import make_config
from art_gym.evaluation.families import best_grids, error_of_grids
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.plans import Plan
from art_gym.schedules.grids.base import edm_grid
from art_gym.search.defect import defect
from art_gym.search.sampler_defect import sampler_defect
from art_gym.tasks.families.base import Family
from art_gym.tasks.references import find_reference
from art_gym.tasks.target import Target

from .method import solver_of
from .results import numbers_of
from .suite import SAMPLER, Cell, Group, Suite

THOROUGH = 3  # times the budget of a search, for cells without a stored reference
MEMORY = 3
STORED = "stored reference"


@dataclass(frozen=True)
class Ends:
    """The ends of the scale in one cell.

    Attributes:
        task, solver, num_steps: the cell.
        floor: smaller errors count as this one.
        edm, best: for each seed the error of EDM's grid, and that of the best grid or sampler known.
        found: how the best one was found.
        sigmas, told, weights: its numbers; None for a family, each model of which has its own grid.
    """

    task: str
    solver: str
    num_steps: int
    floor: float
    edm: list[float]
    best: list[float]
    found: str
    sigmas: list[float] | None = None
    told: list[float] | None = None
    weights: list[list[float]] | None = None

    @property
    def cell(self) -> Cell:
        """Where it holds."""
        return Cell(self.task, self.solver, self.num_steps)

    def score(self, error: float, seed: int) -> float | None:
        """log(e_EDM / e) / log(e_EDM / e_best); None where EDM's grid is the best known."""
        edm, best, found = (max(e, self.floor) for e in (self.edm[seed], self.best[seed], error))
        return None if best >= edm else math.log(edm / found) / math.log(edm / best)

    def ratio(self, error: float, seed: int) -> float:
        """Error over that of the best known."""
        return max(error, self.floor) / max(self.best[seed], self.floor)


@cache
def load_scale(suite: str) -> dict[Cell, Ends]:
    """The stored scale of a suite. Raises a ValueError if there is none."""
    file = resources.files("art_gym.envs_configs.suites").joinpath(f"{suite}.json")
    if not file.is_file():
        raise ValueError(f"suite {suite} has no scale yet: make it with `art-gym benchmark scale --suite {suite}`")
    try:
        ends = [make_config(Ends, entry) for entry in parse_json(file.read_text("utf-8"))]
    except TypeError as error:
        raise ValueError(f"{file} holds no scale: {one_line(error, 200)}") from None
    return {entry.cell: entry for entry in ends}


def make_scale(suite: Suite, file: Path) -> Iterator[Cell]:
    """Compute what the file lacks, and yield each cell that is done. What is stored stays."""
    known: list[dict[str, Any]] = parse_json(file.read_text("utf-8")) if file.exists() else []
    done = {Cell(entry["task"], entry["solver"], entry["num_steps"]) for entry in known}
    for cell in suite.cells():
        if cell not in done:
            entry = asdict(ends_of(cell, suite.group(cell)))
            known.append({name: value for name, value in entry.items() if value is not None})
            write_text(file, "[\n" + ",\n".join(map(json.dumps, known)) + "\n]\n")
        yield cell


def ends_of(cell: Cell, group: Group) -> Ends:
    """Find the best grid or sampler for a cell on training noise, and measure it and EDM's grid for each seed."""
    target = target_of(cell)
    where, edm = (cell.task, cell.solver, cell.num_steps), edm_grid(cell.num_steps, target.denoiser)
    zeros = [measured(target, edm, group, first) for first in group.firsts]
    if isinstance(target.denoiser, Family):
        grids = best_grids(target, cell.num_steps)
        ones = [error_of_grids(target, grids, group.noises, first) for first in group.firsts]
        return Ends(*where, 0.0, zeros, ones, "each model's best grid by Gauss-Newton")
    plan, found = _best(cell, group, target)
    ones = [measured(target, plan, group, first) for first in group.firsts]
    return Ends(*where, 1e-4 * target.denoiser.data_std, zeros, ones, found, **numbers_of(plan))


def target_of(cell: Cell) -> Target:
    """The target of a cell."""
    return Target.of(cell.task, solver_of(cell), Freedom(MEMORY) if cell.solver == SAMPLER else None)


def measured(target: Target, plan: Plan, group: Group, first: int) -> float:
    """The error of a plan on the noises of a seed."""
    return evaluate_plan(target, plan, group.noises, first, distances=False).error


def _best(cell: Cell, group: Group, target: Target) -> tuple[Plan, str]:
    """The best plan known, and how it was found."""
    reference = find_reference(target, cell.num_steps)
    if reference is not None:
        return reference.oracle, STORED
    start, endpoints = target.noises("train", group.training)
    evaluations = THOROUGH * group.budget
    found = f"Gauss-Newton on {len(start)} training noises, {evaluations:,} evaluations"
    if cell.solver == SAMPLER:
        freedom = Freedom(min(MEMORY, cell.num_steps))
        sought = target.denoiser, cell.num_steps, freedom, start, endpoints
        return sampler_defect(*sought, evaluations=evaluations), found
    levels = defect(target.denoiser, cell.num_steps, target.solver, start, endpoints, evaluations=evaluations)
    return levels, found
