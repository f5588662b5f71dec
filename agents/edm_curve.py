"""EDM's error against the number of steps, computed as far as it is asked for: what "steps saved" is read from."""

from __future__ import annotations

import math
from collections.abc import Iterable

from art_gym.denoisers.base import Denoiser
from art_gym.evaluation import HELDOUT, evaluate_levels
from art_gym.schedules.grids import edm_grid
from art_gym.solvers import Solver
from art_gym.tasks import resolve

LIMIT = 100  # steps; beyond, the answer is "more than 100"


class EdmCurve:
    """Error of EDM's grid for K = 1, 2, … on fixed held-out noises.

    Args:
        task, solver: what to sample.
        count, first: rows of the held-out bank.
    """

    def __init__(self, task: str | Denoiser, solver: str | Solver, count: int = HELDOUT, first: int = 0) -> None:
        self.denoiser, self.solver, self.count, self.first = resolve(task), solver, count, first
        self._errors: list[float] = []

    def error(self, num_steps: int) -> float:
        """Mean endpoint error of EDM's grid with K steps."""
        while len(self._errors) < num_steps:
            levels = edm_grid(len(self._errors) + 1, self.denoiser)
            found = evaluate_levels(self.denoiser, self.solver, levels, self.count, self.first, distances=False)
            self._errors.append(found.error)
        return self._errors[num_steps - 1]

    def steps_for(self, error: float) -> float:
        """K′: the smallest number of steps from which EDM's grid first has this error, interpolated in log error.

        ∞ where 100 steps do not reach it.
        """
        steps = range(1, LIMIT + 1)
        return steps_reaching(error, steps, map(self.error, steps))


def steps_reaching(error: float, steps: Iterable[int], errors: Iterable[float]) -> float:
    """The steps at which a curve first has an error, interpolated in log error; ∞ where it never has.

    The curve is read no further than needed.
    """
    before: tuple[int, float] | None = None
    for k, found in zip(steps, errors, strict=True):
        if found <= error:
            if before is None:
                return float(k)
            return before[0] + (k - before[0]) * math.log(before[1] / error) / math.log(before[1] / found)
        before = k, found
    return math.inf
