"""EDM's error as a function of the number of steps, computed on demand. It gives the "steps saved" of a schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from art_gym.evaluation.heldout import HELDOUT, evaluate_plan
from art_gym.schedules.grids.base import edm_grid
from art_gym.solvers.base import Solver
from art_gym.tasks.noise_bank import Same
from art_gym.tasks.target import Target

LIMIT = 100  # steps; above it the answer is "more than 100"
# Every K up to 20, then increments of a tenth. Between these the log error is almost a straight line.
STEPS = (*range(1, 21), 22, 24, 26, 29, 32, 35, 38, 42, 46, 51, 56, 62, 68, 75, 82, 90, LIMIT)


class EdmCurve:
    """Error of EDM's grid at the K of `STEPS`, on fixed held-out noises.

    Args:
        target: what to sample.
        count, first: rows of the held-out bank.
        known: errors from another process, by K.
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
        """K′: the number of steps at which EDM's grid first reaches this error, interpolated in log error.

        ∞ if 100 steps do not reach it.
        """
        return steps_reaching(error, STEPS, map(self.error, STEPS))


def edm_errors(task: str, solver: str, steps: Iterable[int]) -> dict[int, float]:
    """A part of the curve on the noises of results, for a parallel process. Names can be sent to it."""
    curve = EdmCurve(Target.of(task, solver))
    return {k: curve.error(k) for k in steps}


@lru_cache(maxsize=1024)  # all runs of all rivals need the same errors
def _error(of: Same, solver: Solver, count: int, first: int, num_steps: int) -> float:
    levels = edm_grid(num_steps, of.one)
    return evaluate_plan(Target.of(of.one, solver), levels, count, first, distances=False).error


def steps_reaching(error: float, steps: Iterable[int], errors: Iterable[float]) -> float:
    """The number of steps at which a curve first reaches an error, interpolated in log error; ∞ if it never does.

    It reads the curve no further than needed.
    """
    before: tuple[int, float] | None = None
    for k, found in zip(steps, errors, strict=True):
        if found <= error:
            if before is None or error <= 0:  # nothing to interpolate from, or log 0
                return float(k)
            return before[0] + (k - before[0]) * math.log(before[1] / error) / math.log(before[1] / found)
        before = k, found
    return math.inf
