"""A grid from the defect that arrives at the end, for any solver: Gauss-Newton over the K−1 free levels.

Closed forms weigh the local error of one Euler step; a multistep or two-stage solver has another, which depends on the
neighbouring steps too and cancels between them. Here it is measured: the defect of a grid is the vector that is left
between its samples and the precise endpoints of the same noises, and its derivative to each level is the difference of
two runs that part at that level. Gauss-Newton on the weighted squares costs about K²/2 denoiser calls for each such
Jacobian, no gradient of the network, and some ten of them do.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.schedules.closed_forms import art
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.schedules.schedule import resampled
from art_gym.search.base import Candidate, Sought, exhaust, search
from art_gym.search.gauss_newton import TINY, Fit, GaussNewton, jacobian_cost, working_precision
from art_gym.search.tuned import EVALUATIONS, tuned
from art_gym.solvers.base import Solver, get_solver

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

LATENTS = 256, 2048  # on which the finalists are improved: as many as half of the budget pays for one of them
STEPS = 10  # Jacobians for each finalist
# Of the budget, for a choice on latents that nothing was fitted to, where that pays for as many again: on Digits 1 % of
# them have 60 % of the error, and of grids fitted to 372 of them the best one there can be 40 % worse elsewhere.
CHOICE_SHARE = 0.1
# Evaluations of D times elements of a latent, and evaluations, after which nothing new is begun; and what is enough
# where latents are not tiny: so many evaluations and Jacobians of a latent have 1.2 times the oracle's error on Digits.
MOST_ELEMENTS, MOST_EVALUATIONS = 1.5e8, 2e7
ENOUGH, JACOBIANS = 3e5, 6.5e3


@search("defect")
def gauss_newton_search(sought: Sought) -> Iterator[Candidate]:
    """Gauss-Newton on the terminal defect; yields once, after all its runs.

    It plays no episodes: its steps are evaluations of the denoiser, after which nothing new is begun.
    """
    noises = sought.start, sought.endpoints
    yield Candidate(1, defect(sought.denoiser, sought.num_steps, sought.solver, *noises, sought.seed, sought.steps))


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
    pool = exhaust(screening(few, art(denoiser, num_steps, few.start), num_steps, budget / 2, seed))[:FINALISTS]
    finals = [many.improve(logits, STEPS) for _, logits in pool]
    if len(others.start) >= latents:
        finals = [others.improve(logits, 0) for _, logits in pool + finals]
    levels: np.ndarray = levels_from_logits(min(finals, key=_error)[1], denoiser)
    return levels


def _enough(solver: Solver, num_steps: int, elements: int) -> float:
    if elements < TINY:
        return MOST_EVALUATIONS
    return ENOUGH + JACOBIANS * jacobian_cost(solver, num_steps)


def screening(
    few: GaussNewton, first: np.ndarray, num_steps: int, budget: float, seed: int
) -> Generator[Fit, None, list[Fit]]:
    """Grids of K steps that are improved a little; yields each improvement, of fewer steps too.

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
        Fits of grids that differ, best first.
    """
    denoiser, until = few.denoiser, few.denoiser.evaluations + budget
    grids = [resampled(first, num_steps), *_hand_made(few, num_steps, budget)]
    known = sorted((few.improve(logits_from_levels(levels, denoiser), 0) for levels in grids), key=_error)
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
            _, best = min(pool, key=_error)
            if i % 2 == 0 and num_steps > 2:
                tried = _best_moved(few, best, rng)
            else:
                tried = best + SPREAD * rng.standard_normal(num_steps - 1)
            pool.append((yield from few.improving(tried, SCREENING_STEPS)))
    distinct: list[Fit] = []
    for fit in sorted(pool, key=_error):
        if all(np.abs(fit.logits - better.logits).max() > SAME for better in distinct):
            distinct.append(fit)
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


def _error(fit: Fit) -> float:
    return fit.error
