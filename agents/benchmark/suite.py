"""Suites: which tasks, solvers, numbers of steps and noises methods are compared on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, Final, NamedTuple

from art_gym.common.limits import MAX_NOISES, MAX_STEPS, check_whole
from art_gym.common.messages import one_line, short
from art_gym.common.reading import parse_yaml
from art_gym.common.registry import nearest
from art_gym.envs.config import make_config

SAMPLER: Final = "sampler"  # in place of a solver: the method chooses all of a step
MOST_BUDGET = 10**12


class Cell(NamedTuple):
    """One comparison.

    Attributes:
        task: what is sampled.
        solver: with which solver; `SAMPLER` where the method chooses all of a step.
        num_steps: K.
    """

    task: str
    solver: str
    num_steps: int

    def __str__(self) -> str:
        return f"{self.task}, {self.solver}, K = {self.num_steps}"


@dataclass(frozen=True)
class Group:
    """Cells with the same noises.

    Attributes:
        tasks, solvers, steps: all combinations are cells.
        training: how many training noises there are to fit on.
        budget: evaluations of the denoiser that a search may spend, those for precise endpoints included.
        noises: how many held-out noises measure a result.
        firsts: for each seed the first of its held-out noises.

    Raises:
        ValueError: for a number out of range, or noises of two seeds that overlap.
    """

    tasks: tuple[str, ...]
    solvers: tuple[str, ...]
    steps: tuple[int, ...]
    training: int
    budget: int
    noises: int
    firsts: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("tasks", "solvers", "steps", "firsts"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or not value:
                raise ValueError(f"{name} of a group must be a list with something in it, got {short(value)}")
            object.__setattr__(self, name, tuple(value))
        for steps in self.steps:
            check_whole("a number of steps", steps, 2, MAX_STEPS)
        for name, most in (("training", MAX_NOISES), ("budget", MOST_BUDGET), ("noises", MAX_NOISES)):
            check_whole(name, getattr(self, name), 1, most)
        ends = sorted(check_whole("the first noise of a seed", first, 0, MAX_NOISES) for first in self.firsts)
        for before, after in pairwise(ends):
            if after < before + self.noises:
                raise ValueError(f"the noises of two seeds overlap: {self.noises} from {before} and from {after} on")

    def cells(self) -> Iterator[Cell]:
        """All combinations, a task at a time."""
        for task in self.tasks:
            for solver in self.solvers:
                for steps in self.steps:
                    yield Cell(task, solver, steps)


@dataclass(frozen=True)
class Suite:
    """Groups of cells under a name.

    Raises:
        ValueError: if two groups hold the same cell.
    """

    name: str
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        if len(found := self.cells()) > len(set(found)):
            raise ValueError(f"two groups of the suite {short(self.name)} hold the same cell: leave one out")

    def cells(self) -> list[Cell]:
        """The cells of all groups."""
        return [cell for group in self.groups for cell in group.cells()]

    def group(self, cell: Cell) -> Group:
        """The group of a cell. Raises a ValueError for one that the suite does not hold."""
        for group in self.groups:
            if cell.task in group.tasks and cell.solver in group.solvers and cell.num_steps in group.steps:
                return group
        raise ValueError(f"suite {self.name} has no cell {one_line(str(cell), 120)}: see envs_configs/suites")


def suite_names() -> list[str]:
    """The shipped suites."""
    files = (file.name for file in resources.files("art_gym.envs_configs.suites").iterdir())
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


@cache
def load_suite(name: str) -> Suite:
    """Return a shipped suite. Raises a ValueError for an unknown name."""
    known = dict.fromkeys(suite_names())
    if name not in known:
        raise ValueError(f"unknown suite {short(name)}: {nearest(name, known)}choose one of {', '.join(known)}")
    return parse_suite(resources.files("art_gym.envs_configs.suites").joinpath(f"{name}.yaml").read_text("utf-8"))


def parse_suite(text: str) -> Suite:
    """Return the suite in a YAML text. Raises a ValueError for an unknown, a missing or an invalid key."""
    values: Any = parse_yaml(text)
    try:
        groups = tuple(make_config(Group, group) for group in values["groups"])
        return make_config(Suite, {**values, "groups": groups})
    except (KeyError, TypeError) as error:
        if isinstance(error, ValueError):  # an unknown key
            raise
        raise ValueError(f"a suite has a name and groups with all their keys: {one_line(error, 200)}") from None
