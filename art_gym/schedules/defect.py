"""A grid from the defect that arrives at the end, for any solver: Gauss-Newton over the K−1 free levels.

Closed forms weigh the local error of one Euler step; a multistep or two-stage solver has another, which depends on the
neighbouring steps too and cancels between them. Here it is measured: the defect of a grid is the vector that is left
between its samples and the precise endpoints of the same noises, and its derivative to each level is the difference of
two runs that part at that level. Gauss-Newton on the weighted squares costs about K²/2 denoiser calls for each such
Jacobian, no gradient of the network, and some ten of them do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.schedules.closed_forms import art
from art_gym.schedules.fractions import LIMIT, levels_from_logits, logits_from_levels
from art_gym.schedules.grids import make_grid
from art_gym.schedules.schedule import resampled
from art_gym.schedules.tuned import EVALUATIONS, tuned
from art_gym.solvers import Previous, Solver, get_solver, land

COARSE = 8  # steps, beyond which grids of fewer steps are starts too
PASSED_ON = 2  # grids of fewer steps that more steps start from
STARTS = ("cosine", "sigmoid")  # and the ART closed form
TUNED = ("arctan", "edm", "log_normal")  # starts too, with their two parameters fitted on a few latents
TUNING = 32  # latents, unless that takes more than a quarter of the budget
SCREENING = 96  # latents on which starts are improved a little
SCREENING_STEPS = 6  # Jacobians for each start
STARTS_SHARE = 0.6  # of the budget that is left when all are known, after which none is begun
DISTURBED = 40  # at most so many copies of the best so far are tried as well: the problem has bad local optima
SPREAD = 0.4  # of the disturbance of a logit
MOVED = 24  # copies in which one level has moved elsewhere, the best of which is every other disturbed one
SAME = 0.1  # largest difference of a logit between grids that count as one
FINALISTS = 4
TINY = 16  # elements
LATENTS = 256, 2048  # on which the finalists are improved: as many as half of the budget pays for one of them
STEPS = 10  # Jacobians for each finalist
# Of the budget, for a choice on latents that nothing was fitted to, where that pays for as many again: on Digits 1 % of
# them have 60 % of the error, and of grids fitted to 372 of them the best one there can be 40 % worse elsewhere.
CHOICE_SHARE = 0.1
# Evaluations of D times elements of a latent, and evaluations, after which nothing new is begun; and what is enough
# where latents are not tiny: so many evaluations and Jacobians of a latent have 1.2 times the oracle's error on Digits.
MOST_ELEMENTS, MOST_EVALUATIONS = 1.5e8, 2e7
ENOUGH, JACOBIANS = 3e5, 6.5e3
CORRECTIONS = 3  # of a Jacobian, before it is measured again
CLOSEST = 5e-5  # relative distance of two levels, half of the environment's least step
PROBE = 0.01  # of log σ, for the finite differences
LONGEST = 1.5  # step of a logit


def defect(
    denoiser: Denoiser,
    num_steps: int,
    solver: str | Solver,
    start: np.ndarray,
    endpoints: np.ndarray,
    seed: int = 0,
    evaluations: float | None = None,
) -> np.ndarray:
    """The grid of least mean endpoint error by Gauss-Newton steps on the terminal defect.

    Args:
        denoiser, num_steps, solver: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints; 2048 of them at
            most are fitted to, and as many others chosen on.
        seed: of the disturbed starts.
        evaluations: of the denoiser, after which nothing new is begun; by default as many as were enough on the exact
            tasks, and at most 1.5e8 by the elements of a latent.

    Returns:
        (K+1,) levels with a trailing 0.

    Raises:
        ValueError: for values of D that are not finite; the message names σ.
    """
    if num_steps == 1:
        return np.array([denoiser.sigma_max, 0.0])
    precision = working_precision(start)
    counted, solver = Counted(denoiser), get_solver(solver)
    budget = min(
        _enough(solver, num_steps, start[0].size) if evaluations is None else evaluations,
        MOST_ELEMENTS / start[0].size,
        MOST_EVALUATIONS,
    )
    latents = int(np.clip(budget / 2 / (STEPS * jacobian_cost(solver, num_steps)), *LATENTS))
    affordable = int(CHOICE_SHARE * budget / (2 * FINALISTS * solver.evaluations(num_steps)))
    few, many, others = (
        GaussNewton(counted, solver, start[rows].astype(precision), endpoints[rows].astype(precision), budget)
        for rows in (slice(SCREENING), slice(latents), slice(latents, latents + min(affordable, LATENTS[1])))
    )
    pool = candidates(few, art(denoiser, num_steps, few.start), num_steps, budget / 2, seed)[:FINALISTS]
    finals = [many.improve(logits, STEPS) for _, logits in pool]
    if len(others.start) >= latents:
        finals = [others.improve(logits, 0) for _, logits in pool + finals]
    return levels_from_logits(min(finals, key=_error)[1], denoiser)


def _enough(solver: Solver, num_steps: int, elements: int) -> float:
    if elements < TINY:
        return MOST_EVALUATIONS
    return ENOUGH + JACOBIANS * jacobian_cost(solver, num_steps)


def candidates(
    few: GaussNewton, first: np.ndarray, num_steps: int, budget: float, seed: int
) -> list[tuple[float, np.ndarray]]:
    """Grids of K steps that were improved a little.

    From coarse to fine: where steps are many their problem is full of bad local optima, and what it costs grows with
    K², so that it starts from what two thirds of the steps have found, where the budget pays for both.

    Args:
        few: the problem, on few latents.
        first: (J+1,) levels, which are tried beside the hand-made grids: what fewer steps have found comes first,
            then the best of these.
        num_steps: K.
        budget: evaluations, after which nothing new is begun.
        seed: of the disturbed starts.

    Returns:
        Mean errors and (K−1,) logits of grids that differ, best first.
    """
    denoiser, until = few.denoiser, few.denoiser.evaluations + budget
    grids = [resampled(first, num_steps), *_hand_made(few, num_steps, budget)]
    known = sorted((few.improve(logits_from_levels(levels, denoiser), 0) for levels in grids), key=_error)
    starts = [logits for _, logits in known]
    cost = SCREENING_STEPS * len(few.start) * jacobian_cost(few.solver, num_steps)  # of one start
    if num_steps > COARSE and cost < budget / 8:
        coarser = candidates(few, first, math.ceil(2 * num_steps / 3), budget / 2, seed)[:PASSED_ON]
        finer = [resampled(levels_from_logits(logits, denoiser), num_steps) for _, logits in coarser]
        starts = [logits_from_levels(levels, denoiser) for levels in finer] + starts
    pool: list[tuple[float, np.ndarray]] = []
    copies_from = until - (1 - STARTS_SHARE) * (until - denoiser.evaluations)
    for logits in starts:
        if not pool or denoiser.evaluations < copies_from:
            pool.append(few.improve(logits, SCREENING_STEPS))
    rng = np.random.default_rng([seed, num_steps])
    for i in range(DISTURBED):
        if denoiser.evaluations < until:
            _, best = min(pool, key=_error)
            if i % 2 == 0 and num_steps > 2:
                tried = _best_moved(few, best, rng)
            else:
                tried = best + SPREAD * rng.standard_normal(num_steps - 1)
            pool.append(few.improve(tried, SCREENING_STEPS))
    distinct: list[tuple[float, np.ndarray]] = []
    for error, logits in sorted(pool, key=_error):
        if all(np.abs(logits - better).max() > SAME for _, better in distinct):
            distinct.append((error, logits))
    return distinct


def _hand_made(few: GaussNewton, num_steps: int, budget: float) -> list[np.ndarray]:
    """(K+1,) levels each, some of them tuned where the budget pays for that."""
    denoiser = few.denoiser
    grids = [make_grid(name, num_steps, denoiser) for name in STARTS]
    if len(TUNED) * EVALUATIONS * TUNING * few.solver.evaluations(num_steps) >= budget / 4:
        return grids + [make_grid(name, num_steps, denoiser) for name in TUNED]
    noises = few.start[:TUNING], few.endpoints[:TUNING]
    return grids + [tuned(name, num_steps, denoiser, few.solver, *noises)[0] for name in TUNED]


def _best_moved(few: GaussNewton, logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(K−1,) logits of the best of some copies in which one level has moved."""
    levels = levels_from_logits(logits, few.denoiser)
    copies = [logits_from_levels(_moved(levels, rng), few.denoiser) for _ in range(MOVED)]
    return min((few.improve(copy, 0) for copy in copies), key=_error)[1]


def _moved(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(K+1,) levels, one of which has moved into a step elsewhere: a gradient does not change how many lie where."""
    fewer = np.delete(levels, rng.integers(1, len(levels) - 1))
    step = rng.integers(len(fewer) - 1)
    low = max(fewer[step + 1], 0.3 * fewer[step])  # the last one ends in 0
    return np.insert(fewer, step + 1, np.sqrt(fewer[step] * low))


def _error(entry: tuple[float, np.ndarray]) -> float:
    return entry[0]


def jacobian_cost(solver: Solver, num_steps: int) -> float:
    """Evaluations of D for one latent."""
    return solver.evaluations(num_steps) * num_steps / 2


def working_precision(start: np.ndarray) -> type[np.floating]:
    """For fitting grids: errors fall to 10⁻³ in few dimensions and want float64; else float32 takes half the time."""
    return np.float64 if start[0].size < TINY else np.float32


class _Point(NamedTuple):
    """A grid, and what a run on it left."""

    logits: np.ndarray  # (K−1,)
    latents: list[np.ndarray]  # K of (B, *shape), at every level but the last
    denoised: list[np.ndarray]  # D of them
    defect: np.ndarray  # (B, d), at the end
    error: float  # its mean root mean square


class GaussNewton:
    """Gauss-Newton on Σ_i w_i ‖x_i − endpoint_i‖², w_i = 1/err_i: on the mean of err_i (reweighted squares).

    Args:
        denoiser, solver: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        budget: of the denoiser's evaluations, beyond which no Jacobian is begun.
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
        """Levenberg-Marquardt from these (K−1,) logits, ``steps`` Jacobians long: the mean error and the logits of it.

        A Jacobian costs K²/2 calls and a step K, so that after a step it is corrected by what the step has changed
        (Broyden, Math. Comp. 19, 1965, eq. 4.5) and measured again only where that no longer helps.
        """
        at, damping = self._point(np.clip(logits, -LIMIT, LIMIT)), 1e-2
        for _ in range(steps):
            if self.denoiser.evaluations > self.budget or not 0 < at.error < np.inf:
                break
            jacobian, measured = self._jacobian(at), at.error  # (K−1, B, d)
            if not np.isfinite(jacobian).all():  # of a network that is not finite at some levels
                break
            for age in range(CORRECTIONS + 1):
                before = at
                at, damping = self._step(at, jacobian, damping, once=age > 0)
                if at.error == 0 or at.error > before.error * (1 - 1e-2):
                    break
                moved = at.logits - before.logits
                unforeseen = at.defect - before.defect - np.tensordot(moved, jacobian, 1)  # (B, d)
                jacobian += np.multiply.outer(moved / (moved @ moved), unforeseen)
            if at.error > measured * (1 - 1e-3):
                break
        return at.error, at.logits

    def _step(self, at: _Point, jacobian: np.ndarray, damping: float, once: bool) -> tuple[_Point, float]:
        """The first step that helps, each try damped more (or ``once``), and the damping to go on with."""
        size = np.sqrt((at.defect**2).mean(axis=1))  # (B,)
        weighted = jacobian / np.maximum(size, 0.1 * size.mean())[:, None]
        matrix = weighted.reshape(len(at.logits), -1) @ jacobian.reshape(len(at.logits), -1).T
        slope = weighted.reshape(len(at.logits), -1) @ at.defect.ravel()
        scale = np.diag(matrix) + 1e-9 * np.trace(matrix)
        while damping < 1e3:
            # Least squares, since the matrix is singular to rounding where a level has no influence.
            step = np.linalg.lstsq(matrix + damping * np.diag(scale), slope, rcond=None)[0]
            tried = self._point(np.clip(at.logits - np.clip(step, -LONGEST, LONGEST), -LIMIT, LIMIT))
            if tried.error < at.error:
                self.found(tried.error, tried.logits)
                return tried, damping / 4
            if once:  # it says more of the Jacobian than of the damping
                break
            damping *= 4
        return at, damping

    def _point(self, logits: np.ndarray) -> _Point:
        levels = levels_from_logits(logits, self.denoiser)
        if (levels[1:] > (1 - CLOSEST) * levels[:-1]).any():  # in float32 they may coincide: a grid worse than any
            return _Point(logits, [], [], np.empty(0), np.inf)
        latents, denoised, left = self._go_on(levels, [self.start], [])
        error = float(np.sqrt((left.astype(np.float64) ** 2).mean(axis=1)).mean())
        return _Point(logits, latents, denoised, left, error if np.isfinite(error) else np.inf)

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

    def _jacobian(self, at: _Point) -> np.ndarray:
        """(K−1, B, d) derivative of the terminal defect to the logits."""
        levels = levels_from_logits(at.logits, self.denoiser)
        by_level = []
        for k in range(1, len(levels) - 1):
            moved = levels.copy()
            moved[k] *= np.exp(PROBE)
            *_, defect_moved = self._go_on(moved, at.latents[:k], at.denoised[:k])
            by_level.append((defect_moved - at.defect) / PROBE)
        moves = np.stack(
            [  # (K−1, K−1): derivative of the log levels to the logits
                np.log(levels_from_logits(at.logits + row, self.denoiser)[1:-1] / levels[1:-1]) / 1e-6
                for row in 1e-6 * np.eye(len(at.logits))
            ]
        )
        return np.einsum("zk,kbd->zbd", moves, np.stack(by_level))
