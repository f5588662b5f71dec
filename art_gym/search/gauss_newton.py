"""Gauss-Newton on the terminal defect of a grid, for any solver."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from art_gym.denoisers.base import Counted
from art_gym.denoisers.devices import without_gradients
from art_gym.samplers.plans import draw_levels
from art_gym.schedules.fractions import LIMIT, levels_from_logits
from art_gym.search.least_squares import Latents, LeastSquares, Point, impossible
from art_gym.solvers.base import Previous, Solver, land

CLOSEST = 5e-5  # smallest relative distance of two levels: half of the environment's smallest step
PROBE = 0.01  # step in log σ for the finite differences


def jacobian_cost(solver: Solver, num_steps: int) -> float:
    """Evaluations of D for one latent and one Jacobian."""
    return solver.evaluations(num_steps) * num_steps / 2


class GaussNewton(LeastSquares):
    """Fits the (K−1,) logits of a grid; see `LeastSquares`.

    Args:
        denoiser, solver: what the grid is for.
        start, endpoints, budget: as there.
    """

    def __init__(
        self,
        denoiser: Counted,
        solver: Solver,
        start: np.ndarray,
        endpoints: np.ndarray,
        budget: float = np.inf,
    ) -> None:
        super().__init__(denoiser, start, endpoints, budget)
        self.solver = solver

    def bounded(self, numbers: np.ndarray) -> np.ndarray:
        """See `LeastSquares`."""
        clipped: np.ndarray = np.clip(numbers, -LIMIT, LIMIT)
        return clipped

    def point(self, numbers: np.ndarray) -> Point:
        """See `LeastSquares`."""
        levels = levels_from_logits(numbers, self.denoiser)
        if (levels[1:] > (1 - CLOSEST) * levels[:-1]).any():  # they may coincide in float32: reject the grid
            return impossible(numbers)
        return self._ended(numbers, *self._go_on(levels, [self.placed], []))

    def _go_on(self, levels: np.ndarray, x: Latents, denoised: Latents) -> tuple[Latents, Latents, np.ndarray]:
        """Finish a run from the known x at its first levels, and the known D at all of these or all but the last."""
        first, x, denoised = x[0], list(x), list(denoised)
        if self.denoiser.whole:
            return [first], [], self._defect(draw_levels(self.denoiser, levels, first, self.solver))
        xp = array_namespace(first)
        wide = xp.asarray(levels, dtype=first.dtype, device=first.device)[:, None]
        grid = xp.broadcast_to(wide, (len(levels), len(self.start)))  # (K+1, B)
        with without_gradients(first):
            while True:
                k = len(x) - 1
                if len(denoised) == k:
                    denoised.append(self.denoiser(x[k], grid[k]))
                if k == len(levels) - 2:
                    return x, denoised, self._defect(land(denoised[k]))
                previous = (
                    Previous(denoised[k - 1], grid[k - 1]) if k else Previous(first, xp.full_like(grid[0], xp.inf))
                )
                x.append(self.solver.step(self.denoiser, x[k], denoised[k], grid[k], grid[k + 1], previous))

    def jacobian(self, at: Point) -> np.ndarray:
        """See `LeastSquares`."""
        levels = levels_from_logits(at.numbers, self.denoiser)
        by_level = []
        for k in range(1, len(levels) - 1):
            moved = levels.copy()
            moved[k] *= np.exp(PROBE)
            *_, defect_moved = self._go_on(moved, at.latents[:k], at.denoised[:k])
            by_level.append((defect_moved - at.defect) / PROBE)
        moves = np.stack(
            [  # (K−1, K−1): derivative of the log levels with respect to the logits
                np.log(levels_from_logits(at.numbers + row, self.denoiser)[1:-1] / levels[1:-1]) / 1e-6
                for row in 1e-6 * np.eye(len(at.numbers))
            ]
        )
        jacobian: np.ndarray = np.einsum("zk,kbd->zbd", moves, np.stack(by_level))
        return jacobian
