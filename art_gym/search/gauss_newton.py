"""Gauss-Newton on the terminal defect of a grid."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.schedules.fractions import LIMIT, levels_from_logits
from art_gym.search.base import exhaust
from art_gym.solvers.base import Previous, Solver, land

Latents = list[np.ndarray]  # one (B, *shape) array for each level

TINY = 16  # latents with fewer elements are tiny

CORRECTIONS = 3  # corrections of a Jacobian before it is measured again
CLOSEST = 5e-5  # smallest relative distance of two levels: half of the environment's smallest step
PROBE = 0.01  # step in log σ for the finite differences
LONGEST = 1.5  # longest step of a logit


def jacobian_cost(solver: Solver, num_steps: int) -> float:
    """Evaluations of D for one latent and one Jacobian."""
    return solver.evaluations(num_steps) * num_steps / 2


def working_precision(start: np.ndarray) -> type[np.floating]:
    """The float type for fitting grids.

    With few dimensions errors fall to 10⁻³, and this needs float64. Otherwise float32 takes half the time.
    """
    return np.float64 if start[0].size < TINY else np.float32


class Fit(NamedTuple):
    """The mean error of a grid, and its (K−1,) logits."""

    error: float
    logits: np.ndarray


class _Point(NamedTuple):
    """A grid, and the results of a run on it."""

    logits: np.ndarray  # (K−1,)
    latents: Latents  # K, at every level but the last
    denoised: Latents  # D of these latents
    defect: np.ndarray  # (B, d), at the end of the run
    error: float  # root mean square of the defect, averaged over the batch


class GaussNewton:
    """Gauss-Newton on Σ_i w_i ‖x_i − endpoint_i‖².

    The weights w_i = 1/err_i make it minimise the mean of err_i (reweighted squares).

    Args:
        denoiser, solver: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        budget: evaluations of the denoiser after which no new Jacobian begins.
    """

    def __init__(
        self,
        denoiser: Counted,
        solver: Solver,
        start: np.ndarray,
        endpoints: np.ndarray,
        budget: float = np.inf,
    ) -> None:
        self.denoiser, self.solver, self.start, self.endpoints = denoiser, solver, start, endpoints
        self.budget = budget

    def improve(self, logits: np.ndarray, steps: int) -> Fit:
        """Run Levenberg-Marquardt from (K−1,) logits for up to ``steps`` Jacobians, and return the last fit."""
        return exhaust(self.improving(logits, steps))

    def improving(self, logits: np.ndarray, steps: int) -> Generator[Fit, None, Fit]:
        """Like `improve`, but yield each step that helps.

        A Jacobian costs K²/2 calls and a step costs K. So each step corrects the Jacobian by the change that it
        caused (Broyden, Math. Comp. 19, 1965, eq. 4.5). A new measurement follows only when corrections stop helping.
        """
        at, damping = self._point(np.clip(logits, -LIMIT, LIMIT)), 1e-2
        for _ in range(steps):
            if self.denoiser.evaluations > self.budget or not 0 < at.error < np.inf:
                break
            jacobian, measured = self._jacobian(at), at.error  # (K−1, B, d)
            if not np.isfinite(jacobian).all():  # the network is not finite at some levels
                break
            for age in range(CORRECTIONS + 1):
                before = at
                at, damping = self._step(at, jacobian, damping, once=age > 0)
                if at is not before:
                    yield Fit(at.error, at.logits)
                if at.error == 0 or at.error > before.error * (1 - 1e-2):
                    break
                moved = at.logits - before.logits
                unforeseen = at.defect - before.defect - np.tensordot(moved, jacobian, 1)  # (B, d)
                jacobian += np.multiply.outer(moved / (moved @ moved), unforeseen)
            if at.error > measured * (1 - 1e-3):
                break
        return Fit(at.error, at.logits)

    def _step(self, at: _Point, jacobian: np.ndarray, damping: float, once: bool) -> tuple[_Point, float]:
        """The first step that helps, and the next damping. Each try is damped more; ``once`` allows one try."""
        size = np.sqrt((at.defect**2).mean(axis=1))  # (B,)
        weighted = jacobian / np.maximum(size, 0.1 * size.mean())[:, None]
        matrix = weighted.reshape(len(at.logits), -1) @ jacobian.reshape(len(at.logits), -1).T
        slope = weighted.reshape(len(at.logits), -1) @ at.defect.ravel()
        scale = np.diag(matrix) + 1e-9 * np.trace(matrix)
        while damping < 1e3:
            # Least squares, because a level without influence makes the matrix singular to rounding.
            step = np.linalg.lstsq(matrix + damping * np.diag(scale), slope, rcond=None)[0]
            tried = self._point(np.clip(at.logits - np.clip(step, -LONGEST, LONGEST), -LIMIT, LIMIT))
            if tried.error < at.error:
                return tried, damping / 4
            if once:  # a failure says more about the corrected Jacobian than about the damping
                break
            damping *= 4
        return at, damping

    def _point(self, logits: np.ndarray) -> _Point:
        levels = levels_from_logits(logits, self.denoiser)
        if (levels[1:] > (1 - CLOSEST) * levels[:-1]).any():  # they may coincide in float32: reject the grid
            return _Point(logits, [], [], np.empty(0), np.inf)
        latents, denoised, left = self._go_on(levels, [self.start], [])
        error = float(np.sqrt((left.astype(np.float64) ** 2).mean(axis=1)).mean())
        return _Point(logits, latents, denoised, left, error if np.isfinite(error) else np.inf)

    def _go_on(self, levels: np.ndarray, x: Latents, denoised: Latents) -> tuple[Latents, Latents, np.ndarray]:
        """Finish a run from the known x at its first levels, and the known D at all of these or all but the last."""
        grid = np.repeat(levels.astype(self.start.dtype)[:, None], len(self.start), axis=1)  # (K+1, B)
        x, denoised = list(x), list(denoised)
        while True:
            k = len(x) - 1
            if len(denoised) == k:
                denoised.append(self.denoiser(x[k], grid[k]))
            if k == len(levels) - 2:
                return x, denoised, (land(denoised[k]) - self.endpoints).reshape(len(self.start), -1)
            previous = (
                Previous(denoised[k - 1], grid[k - 1]) if k else Previous(self.start, np.full_like(grid[0], np.inf))
            )
            x.append(self.solver.step(self.denoiser, x[k], denoised[k], grid[k], grid[k + 1], previous))

    def _jacobian(self, at: _Point) -> np.ndarray:
        """(K−1, B, d) derivative of the terminal defect with respect to the logits."""
        levels = levels_from_logits(at.logits, self.denoiser)
        by_level = []
        for k in range(1, len(levels) - 1):
            moved = levels.copy()
            moved[k] *= np.exp(PROBE)
            *_, defect_moved = self._go_on(moved, at.latents[:k], at.denoised[:k])
            by_level.append((defect_moved - at.defect) / PROBE)
        moves = np.stack(
            [  # (K−1, K−1): derivative of the log levels with respect to the logits
                np.log(levels_from_logits(at.logits + row, self.denoiser)[1:-1] / levels[1:-1]) / 1e-6
                for row in 1e-6 * np.eye(len(at.logits))
            ]
        )
        jacobian: np.ndarray = np.einsum("zk,kbd->zbd", moves, np.stack(by_level))
        return jacobian
