"""The interface of a search: it tries schedules or samplers on training noises and yields them as they improve."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from art_gym.common.registry import Registry
from art_gym.denoisers.base import Counted
from art_gym.samplers.freedom import Freedom
from art_gym.search.spaces import Grids, Plan, Samplers, Space
from art_gym.solvers.base import Solver


@dataclass(frozen=True)
class Sought:
    """The problem that a search solves.

    Attributes:
        denoiser: the model, with counted calls.
        solver, num_steps: of the schedule.
        freedom: what of a sampler may be chosen; None for a schedule of the solver.
        start, endpoints: (B, *shape) training noises at σ_max, and their precise endpoints.
        seed: for all random numbers.
        steps: how long to search, in steps of an environment that plays the candidates; None for the default.
    """

    denoiser: Counted
    solver: Solver
    num_steps: int
    start: np.ndarray
    endpoints: np.ndarray
    seed: int = 0
    steps: int | None = None
    freedom: Freedom | None = None

    @property
    def space(self) -> Space[Any]:
        """What is searched, as numbers."""
        if self.freedom is None:
            return Grids(self.denoiser, self.num_steps, self.solver)
        return Samplers(self.denoiser, self.num_steps, self.freedom)


class Candidate(NamedTuple):
    """An intermediate result of a search.

    Attributes:
        episodes: played so far. One candidate on one batch is an episode.
        plan: (K+1,) levels with a trailing 0, or a sampler.
    """

    episodes: int
    plan: Plan


Result = TypeVar("Result")


def exhaust(steps: Generator[Any, None, Result]) -> Result:
    """Run a generator to its end and give back its return value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


Search = Callable[[Sought], Iterator[Candidate]]
SEARCHES: Registry[Search] = Registry("search", "art_gym.search")
search = SEARCHES.named  # decorates a search, with its name for `art-gym train --algo`
