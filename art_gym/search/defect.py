"""Search for the grid with the smallest terminal defect, for any solver: Gauss-Newton over the K−1 free levels.

Closed forms use the local error of one Euler step. A multistep or two-stage solver has another local error, which also
depends on the neighbouring steps and partly cancels between them. So this search measures the error at the end. The
defect of a grid is the difference between its samples and the precise endpoints of the same noises. Its derivative with
respect to a level comes from two runs that are the same up to that level. Gauss-Newton on the weighted squares needs no
gradient of the network. A Jacobian costs about K²/2 denoiser calls, and about ten Jacobians are enough.
"""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.schedules.closed_forms import art
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.schedules.schedule import resampled
from art_gym.search.base import exhaust
from art_gym.search.gauss_newton import GaussNewton, jacobian_cost
from art_gym.search.least_squares import TINY, Fit, by_error, working_precision
from art_gym.search.tuned import EVALUATIONS, tuned
from art_gym.solvers.base import Solver, get_solver

COARSE = 8  # with more steps than this, grids of fewer steps are starts too
PASSED_ON = 2  # grids of fewer steps that become starts
STARTS = ("cosine", "sigmoid")  # and the ART closed form
TUNED = ("arctan", "edm", "log_normal")  # starts too, with their two parameters fitted on a few latents
TUNING = 32  # latents for that fit, which is skipped if it takes more than a quarter of the budget
SCREENING = 96  # latents for the short improvement of starts
SCREENING_STEPS = 6  # Jacobians for each start
STARTS_SHARE = 0.6  # of the budget left once all starts are known: after this share no new start begins
DISTURBED = 40  # largest number of disturbed copies of the best grid, because the problem has bad local optima
SPREAD = 0.4  # standard deviation of the disturbance of a logit
MOVED = 24  # copies with one level moved elsewhere; the best of them serves as every other disturbed copy
SAME = 0.1  # two grids count as one if no logit differs by more than this
FINALISTS = 4

LATENTS = 256, 2048  # fewest and most for improving the finalists: half of the budget must pay for one finalist
STEPS = 10  # Jacobians for each finalist
# Share of the budget for choosing a finalist on fresh latents, if it pays for as many as the fit used. On Digits 1 % of
# the latents have 60 % of the error. The best grid on the 372 latents of its fit can be 40 % worse on others.
CHOICE_SHARE = 0.1
# After these numbers nothing new begins: evaluations of D times elements of a latent, and evaluations of D.
MOST_ELEMENTS, MOST_EVALUATIONS = 1.5e8, 2e7
# Enough for latents that are not tiny: evaluations, and Jacobians of one latent. On Digits this reaches 1.2 times the
# error of the oracle.
ENOUGH, JACOBIANS = 3e5, 6.5e3


def defect(
    denoiser: Denoiser,
    num_steps: int,
    solver: str | Solver,
    start: np.ndarray,
    endpoints: np.ndarray,
    seed: int = 0,
    evaluations: float | None = None,
) -> np.ndarray:
    """Find the grid of least mean endpoint error by Gauss-Newton steps on the terminal defect.

    Args:
        denoiser, num_steps, solver: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints. The fit uses at most 2048,
            and the final choice at most 2048 others.
        seed: of the disturbed starts.
        evaluations: of the denoiser, after which nothing new begins. The default was enough on the exact tasks. The
            limit is 1.5e8 divided by the elements of a latent.

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
    pool = exhaust(screening(few, art(denoiser, num_steps, few.start), num_steps, budget / 2, seed))[:FINALISTS]
    finals = [many.improve(logits, STEPS) for _, logits in pool]
    if len(others.start) >= latents:
        finals = [others.improve(logits, 0) for _, logits in pool + finals]
    levels: np.ndarray = levels_from_logits(min(finals, key=by_error)[1], denoiser)
    return levels


def _enough(solver: Solver, num_steps: int, elements: int) -> float:
    if elements < TINY:
        return MOST_EVALUATIONS
    return ENOUGH + JACOBIANS * jacobian_cost(solver, num_steps)


def screening(
    few: GaussNewton, first: np.ndarray, num_steps: int, budget: float, seed: int
) -> Generator[Fit, None, list[Fit]]:
    """Improve grids of K steps a little. Yields each improvement, also those of grids with fewer steps.

    It works from coarse to fine. With many steps the problem has many bad local optima, and its cost grows with K². So
    it starts from the results of two thirds of the steps, if the budget pays for both.

    Args:
        few: the problem, on few latents.
        first: (J+1,) levels to try beside the hand-made grids. The best of these come after the results of fewer steps.
        num_steps: K.
        budget: evaluations after which nothing new begins.
        seed: of the disturbed starts.

    Returns:
        Fits of distinct grids, best first.
    """
    denoiser, until = few.denoiser, few.denoiser.evaluations + budget
    grids = [resampled(first, num_steps), *_hand_made(few, num_steps, budget)]
    known = sorted((few.improve(logits_from_levels(levels, denoiser), 0) for levels in grids), key=by_error)
    starts = [logits for _, logits in known]
    cost = SCREENING_STEPS * len(few.start) * jacobian_cost(few.solver, num_steps)  # of one start
    if num_steps > COARSE and cost < budget / 8:
        coarser = (yield from screening(few, first, math.ceil(2 * num_steps / 3), budget / 2, seed))[:PASSED_ON]
        finer = [resampled(levels_from_logits(logits, denoiser), num_steps) for _, logits in coarser]
        starts = [logits_from_levels(levels, denoiser) for levels in finer] + starts
    pool: list[Fit] = []
    copies_from = until - (1 - STARTS_SHARE) * (until - denoiser.evaluations)
    for logits in starts:
        if not pool or denoiser.evaluations < copies_from:
            pool.append((yield from few.improving(logits, SCREENING_STEPS)))
    rng = np.random.default_rng([seed, num_steps])
    for i in range(DISTURBED):
        if denoiser.evaluations < until:
            _, best = min(pool, key=by_error)
            if i % 2 == 0 and num_steps > 2:
                tried = _best_moved(few, best, rng)
            else:
                tried = best + SPREAD * rng.standard_normal(num_steps - 1)
            pool.append((yield from few.improving(tried, SCREENING_STEPS)))
    distinct: list[Fit] = []
    for fit in sorted(pool, key=by_error):
        if all(np.abs(fit.numbers - better.numbers).max() > SAME for better in distinct):
            distinct.append(fit)
    return distinct


def _hand_made(few: GaussNewton, num_steps: int, budget: float) -> list[np.ndarray]:
    """Hand-made grids of (K+1,) levels, some of them tuned if the budget pays for that."""
    denoiser = few.denoiser
    grids = [make_grid(name, num_steps, denoiser) for name in STARTS]
    if len(TUNED) * EVALUATIONS * TUNING * few.solver.evaluations(num_steps) >= budget / 4:
        return grids + [make_grid(name, num_steps, denoiser) for name in TUNED]
    noises = few.start[:TUNING], few.endpoints[:TUNING]
    return grids + [tuned(name, num_steps, denoiser, few.solver, *noises)[0] for name in TUNED]


def _best_moved(few: GaussNewton, logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(K−1,) logits of the best of `MOVED` copies, each with one level moved."""
    levels = levels_from_logits(logits, few.denoiser)
    copies = [logits_from_levels(_moved(levels, rng), few.denoiser) for _ in range(MOVED)]
    return min((few.improve(copy, 0) for copy in copies), key=by_error)[1]


def _moved(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(K+1,) levels with one moved into another step. Gradient steps do not move a level past others like this."""
    fewer = np.delete(levels, rng.integers(1, len(levels) - 1))
    step = rng.integers(len(fewer) - 1)
    low = max(fewer[step + 1], 0.3 * fewer[step])  # the last step ends in 0
    return np.insert(fewer, step + 1, np.sqrt(fewer[step] * low))
