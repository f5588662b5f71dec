"""The interface of a search: it tries schedules of K steps on training noises and yields them as they improve."""

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
    """The problem that a search solves.

    Attributes:
        denoiser: the model, with counted calls.
        solver, num_steps: of the schedule.
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


class Candidate(NamedTuple):
    """An intermediate schedule of a search.

    Attributes:
        episodes: played so far. One candidate on one batch is an episode.
        levels: (K+1,) with a trailing 0.
    """

    episodes: int
    levels: np.ndarray


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


def search(name: str) -> Callable[[Search], Search]:
    """Register a search under a name for `art-gym train --algo`."""

    def decorate(function: Search) -> Search:
        SEARCHES.add(name, function)
        return function

    return decorate
