"""A grid from the defect that arrives at the end, for any solver: Gauss-Newton over the K−1 free levels.

Closed forms weigh the local error of one Euler step; a multistep or two-stage solver has another, which depends on the
neighbouring steps too and cancels between them. Here it is measured: the defect of a grid is the vector that is left
between its samples and the precise endpoints of the same noises, and its derivative to each level is the difference of
two runs that part at that level. A Gauss-Newton step on the weighted squares costs about K²/2 denoiser calls, no
gradient of the network, and some ten of them do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.schedules.closed_forms import art
from art_gym.schedules.fractions import LIMIT, levels_from_logits, logits_from_levels
from art_gym.schedules.grids import make_grid
from art_gym.solvers import Previous, Solver, get_solver, land

STARTS = ("arctan", "cosine", "sigmoid", "edm", "log_normal")  # and the ART closed form
SCREENING = 64  # latents on which starts are improved a little
SCREENING_STEPS = 6  # Gauss-Newton steps of each start
DISTURBED = 40  # at most so many copies of the best so far are tried as well: the problem has bad local optima
SPREAD = 0.4  # of the disturbance of a logit
FINALISTS = 4
LATENTS = 256, 2048  # on which the finalists are improved: as many as half of the budget pays for one of them
STEPS = 10
BUDGET_ELEMENTS = 1.5e8  # evaluations of D times elements of a latent, after which nothing new is begun: 20 s on Digits
MOST_EVALUATIONS = 1e7  # the same where latents are tiny
PROBE = 0.01  # of log σ, for the finite differences
LONGEST = 1.5  # step of a logit


def defect(
    denoiser: Denoiser,
    num_steps: int,
    solver: str | Solver,
    start: np.ndarray,
    endpoints: np.ndarray,
    seed: int = 0,
    evaluations: float = MOST_EVALUATIONS,
) -> np.ndarray:
    """The grid of least mean endpoint error by Gauss-Newton steps on the terminal defect.

    Args:
        denoiser, num_steps, solver: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints; up to 2048 are used.
        seed: of the disturbed starts.
        evaluations: of the denoiser, after which nothing new is begun; fewer where latents are large.

    Returns:
        (K+1,) levels with a trailing 0.
    """
    if num_steps == 1:
        return np.array([denoiser.sigma_max, 0.0])
    precision = working_precision(start)
    counted, budget = Counted(denoiser), min(BUDGET_ELEMENTS / start[0].size, evaluations)
    per_step = get_solver(solver).evaluations(num_steps) * num_steps / 2  # of D, for one latent and one Jacobian
    latents = int(np.clip(budget / 2 / (STEPS * per_step), *LATENTS))
    few, many = (
        GaussNewton(
            counted, get_solver(solver), start[:count].astype(precision), endpoints[:count].astype(precision), budget
        )
        for count in (SCREENING, latents)
    )
    # The closed form first: it is the best start more often than not, should the budget end among them.
    grids = [art(denoiser, num_steps, start[:SCREENING]), *(make_grid(name, num_steps, denoiser) for name in STARTS)]
    pool = [few.improve(logits_from_levels(levels, denoiser), SCREENING_STEPS) for levels in grids]
    rng = np.random.default_rng([seed, num_steps])
    for _ in range(DISTURBED):
        pool.sort(key=lambda entry: entry[0])
        if counted.evaluations < budget / 2:
            disturbed = pool[0][1] + SPREAD * rng.standard_normal(num_steps - 1)
            pool.append(few.improve(disturbed, SCREENING_STEPS))
    pool.sort(key=lambda entry: entry[0])
    finals = [many.improve(logits, STEPS) for _, logits in pool[:FINALISTS]]
    return levels_from_logits(min(finals, key=lambda entry: entry[0])[1], denoiser)


def working_precision(start: np.ndarray) -> type[np.floating]:
    """For fitting grids: errors fall to 10⁻³ in few dimensions and want float64; else float32 takes half the time."""
    return np.float64 if start[0].size < 16 else np.float32


class GaussNewton:
    """Gauss-Newton on Σ_i w_i ‖x_i − endpoint_i‖², w_i = 1/err_i: on the mean of err_i (reweighted squares).

    Args:
        denoiser, solver: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        budget: of the denoiser's evaluations, beyond which no step is begun.
        found: called with the error and the logits of each step that helps.
    """

    def __init__(
        self,
        denoiser: Counted,
        solver: Solver,
        start: np.ndarray,
        endpoints: np.ndarray,
        budget: float = np.inf,
        found: Callable[[float, np.ndarray], None] = lambda error, logits: None,
    ) -> None:
        self.denoiser, self.solver, self.start, self.endpoints = denoiser, solver, start, endpoints
        self.budget, self.found = budget, found

    def improve(self, logits: np.ndarray, steps: int) -> tuple[float, np.ndarray]:
        """Levenberg-Marquardt from these (K−1,) logits: the mean error, and the logits that have it."""
        logits, damping = np.clip(logits, -LIMIT, LIMIT), 1e-2
        run = self._run(logits)
        error = _mean_error(run[-1])
        for _ in range(steps):
            if self.denoiser.evaluations > self.budget:
                break
            jacobian = self._jacobian(logits, run)  # (K−1, B, d)
            size = np.sqrt((run[-1] ** 2).mean(axis=1))  # (B,)
            weighted = jacobian / np.maximum(size, 0.1 * size.mean())[:, None]
            flat = jacobian.reshape(len(logits), -1)
            matrix = weighted.reshape(len(logits), -1) @ flat.T
            slope = weighted.reshape(len(logits), -1) @ run[-1].ravel()
            scale = np.diag(matrix) + 1e-9 * np.trace(matrix)
            before = error
            while damping < 1e3:
                step = np.linalg.solve(matrix + damping * np.diag(scale), slope)
                tried = np.clip(logits - np.clip(step, -LONGEST, LONGEST), -LIMIT, LIMIT)
                tried_run = self._run(tried)
                if (found := _mean_error(tried_run[-1])) < error:
                    logits, run, error, damping = tried, tried_run, found, damping / 4
                    self.found(error, logits)
                    break
                damping *= 4
            if error > before * (1 - 1e-3):
                break
        return error, logits

    def _run(self, logits: np.ndarray) -> tuple[list, list, np.ndarray]:
        """Latents and D at every level, and the (B, d) terminal defect."""
        return self._go_on(levels_from_logits(logits, self.denoiser), [self.start], [])

    def _go_on(self, levels: np.ndarray, x: list, denoised: list) -> tuple[list, list, np.ndarray]:
        """Finish a run of which x is known at some levels, and D at the same ones or all but the last."""
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

    def _jacobian(self, logits: np.ndarray, run: tuple[list, list, np.ndarray]) -> np.ndarray:
        """(K−1, B, d) derivative of the terminal defect to the logits."""
        levels = levels_from_logits(logits, self.denoiser)
        by_level = []
        for k in range(1, len(levels) - 1):
            moved = levels.copy()
            moved[k] *= np.exp(PROBE)
            *_, defect_moved = self._go_on(moved, run[0][:k], run[1][:k])
            by_level.append((defect_moved - run[2]) / PROBE)
        moves = np.stack(
            [  # (K−1, K−1): derivative of the log levels to the logits
                np.log(levels_from_logits(logits + row, self.denoiser)[1:-1] / levels[1:-1]) / 1e-6
                for row in 1e-6 * np.eye(len(logits))
            ]
        )
        return np.einsum("zk,kbd->zbd", moves, np.stack(by_level))


def _mean_error(defects: np.ndarray) -> float:
    return float(np.sqrt((defects.astype(np.float64) ** 2).mean(axis=1)).mean())
