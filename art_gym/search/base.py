"""What a search is: it tries schedules of K steps on noises and yields them as they get better."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from art_gym.common.registry import Registry
from art_gym.denoisers.base import Counted
from art_gym.solvers.base import Solver


@dataclass(frozen=True)
class Sought:
    """What a search is to find a schedule for.

    Attributes:
        denoiser: the model, whose calls are counted.
        solver, num_steps: of the schedule.
        start, endpoints: (B, *shape) training noises at σ_max, and their precise endpoints.
        seed: of everything random.
        steps: how long to search, in steps of an environment that plays the candidates; None for the usual.
    """

    denoiser: Counted
    solver: Solver
    num_steps: int
    start: np.ndarray
    endpoints: np.ndarray
    seed: int = 0
    steps: int | None = None


class Candidate(NamedTuple):
    """A schedule on the way.

    Attributes:
        episodes: played so far, one candidate on one batch each.
        levels: (K+1,) with a trailing 0.
    """

    episodes: int
    levels: np.ndarray


Result = TypeVar("Result")


def exhaust(steps: Generator[Any, None, Result]) -> Result:
    """Run a generator to its end, whatever it yields, and give back what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


Search = Callable[[Sought], Iterator[Candidate]]
SEARCHES: Registry[Search] = Registry("search", "art_gym.search")


def search(name: str) -> Callable[[Search], Search]:
    """Register a search by a name, under which `art-gym train --algo` knows it."""

    def decorate(function: Search) -> Search:
        SEARCHES.add(name, function)
        return function

    return decorate
