"""EDM's error against the number of steps, computed as far as it is asked for: what "steps saved" is read from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from art_gym.evaluation.heldout import HELDOUT, evaluate_levels
from art_gym.schedules.grids.base import edm_grid
from art_gym.solvers.base import Solver
from art_gym.tasks.noise_bank import Same
from art_gym.tasks.target import Target

LIMIT = 100  # steps; beyond, the answer is "more than 100"
# Every K up to 20, then steps of a tenth, between which the curve is as good as straight in its logarithm.
STEPS = (*range(1, 21), 22, 24, 26, 29, 32, 35, 38, 42, 46, 51, 56, 62, 68, 75, 82, 90, LIMIT)


class EdmCurve:
    """Error of EDM's grid at the K of `STEPS`, on fixed held-out noises.

    Args:
        target: what to sample.
        count, first: rows of the held-out bank.
        known: errors that another process has found, by K.
    """

    def __init__(
        self,
        target: Target,
        count: int = HELDOUT,
        first: int = 0,
        known: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        self._which = Same(target.denoiser), target.solver, count, first
        self._known = known

    def error(self, num_steps: int) -> float:
        """Mean endpoint error of EDM's grid with K steps."""
        return self._known[num_steps] if num_steps in self._known else _error(*self._which, num_steps)

    def steps_for(self, error: float) -> float:
        """K′: the smallest number of steps from which EDM's grid first has this error, interpolated in log error.

        ∞ where 100 steps do not reach it.
        """
        return steps_reaching(error, STEPS, map(self.error, STEPS))


def edm_errors(task: str, solver: str, steps: Iterable[int]) -> dict[int, float]:
    """A part of the curve on the noises of results, for a process beside, which names cross."""
    curve = EdmCurve(Target.of(task, solver))
    return {k: curve.error(k) for k in steps}


@lru_cache(maxsize=1024)  # of one run of each rival as of the next
def _error(of: Same, solver: Solver, count: int, first: int, num_steps: int) -> float:
    levels = edm_grid(num_steps, of.one)
    return evaluate_levels(Target.of(of.one, solver), levels, count, first, distances=False).error


def steps_reaching(error: float, steps: Iterable[int], errors: Iterable[float]) -> float:
    """The steps at which a curve first has an error, interpolated in log error; ∞ where it never has.

    The curve is read no further than needed.
    """
    before: tuple[int, float] | None = None
    for k, found in zip(steps, errors, strict=True):
        if found <= error:
            if before is None or error <= 0:  # between an error and none the logarithm has no line
                return float(k)
            return before[0] + (k - before[0]) * math.log(before[1] / error) / math.log(before[1] / found)
        before = k, found
    return math.inf
