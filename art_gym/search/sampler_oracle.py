"""The sampler oracle: the best sampler known within a freedom, found by Gauss-Newton from many starts."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import LARGE, Counted, Denoiser
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.freedom import Freedom
from art_gym.search.base import exhaust
from art_gym.search.least_squares import Fit, by_error
from art_gym.search.sampler_defect import STEPS, SamplerProblem, jacobian_cost, nested, sampler_defect, screening

SEARCHES = 2  # with different disturbed starts
FINALISTS = 4  # samplers that are improved on all noises
SCREENED = 150  # Jacobians on the screening's latents that the starts of a search may cost
LATENTS = 256  # of the screening
MOST_FITTED = 3e8  # elements times evaluations of the last fits, for slow models


def optimise_sampler(
    denoiser: Denoiser,
    num_steps: int,
    freedom: Freedom,
    start: np.ndarray,
    endpoints: np.ndarray,
    levels: np.ndarray,
    seed: int = 0,
) -> Coefficients:
    """Find the sampler of least mean endpoint error. It is no worse than any of its starts on these noises.

    Models of large latents are slow, so for them there is one search.

    Args:
        denoiser, num_steps, freedom: what the sampler is for, and what of it may be chosen.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        levels: (K+1,) of the best grid, to begin with.
        seed: of the disturbed starts.

    Returns:
        The coefficients.
    """
    counted = Counted(denoiser)
    problem = SamplerProblem(counted, num_steps, freedom, start, endpoints)
    pool: list[Fit] = []
    large = start[0].size >= LARGE
    whole = [(part, levels) for part in nested(freedom)]  # the result of less freedom is a start for more
    # The best grid is not always the best start.
    for part, begin in [(freedom, levels)] if large else [*whole, (freedom, None)]:
        found = sampler_defect(counted, num_steps, part, start, endpoints, seed, levels=begin)
        pool.append(Fit(np.inf, problem.numbers(found)))
    for search in range(0 if large else SEARCHES):
        until = counted.evaluations + SCREENED * LATENTS * jacobian_cost(freedom, num_steps)
        pool += exhaust(screening(problem, levels, seed + 1 + search, until))[:FINALISTS]
    every = problem.newton(freedom)
    known = sorted((every.improve(fit.numbers, 0) for fit in pool), key=by_error)
    cost = STEPS / 2 * jacobian_cost(freedom, num_steps) * len(start) * start[0].size
    finalists = known[: int(np.clip(MOST_FITTED / cost, 1, FINALISTS))]
    every.budget = counted.evaluations + MOST_FITTED / start[0].size if large else np.inf
    improved = [every.improve(fit.numbers, STEPS) for fit in finalists]
    best = min(improved + known, key=by_error)
    assert best.error <= known[0].error
    return problem.made(best.numbers)
