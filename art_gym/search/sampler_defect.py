"""Search for the sampler with the smallest terminal defect: Gauss-Newton on all of its numbers, from many starts."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.sampler import Sampler
from art_gym.search.base import Candidate, Sought, exhaust, search
from art_gym.search.defect import MOST_ELEMENTS, MOST_EVALUATIONS, defect
from art_gym.search.least_squares import Fit, by_error, working_precision
from art_gym.search.sampler_newton import MOST_WEIGHT, SamplerNewton, within
from art_gym.search.spaces import Samplers

GRID_SHARE = 0.15  # of the budget for the grid that the search begins with
SCREENING = 256  # latents for the starts
SCREENING_STEPS = 12  # Jacobians for each start
STARTS_SHARE = 0.3  # of the budget: after it no new start begins
DISTURBED = 12  # largest number of disturbed copies of the best sampler, because the problem has bad local optima
DISTURBANCE = 0.4  # of these copies, in units of the first candidates' standard deviations
FIRST_TOLD = 0.2  # a first level that tells the direction of the noise, where σ_max itself tells nothing
FINALISTS = 6
ROUND = 6  # Jacobians for each finalist, until the better half goes on
STEPS = 40  # Jacobians for the last finalist, and for a hop that goes on
HOPS, HOP = 12, 0.1  # most disturbed copies of the last finalist, and their disturbance in the same units
PROMISING = 1.5  # times the best error: a hop within it goes on
LATENTS = 512, 2048  # fewest and most for the finalists
FITS = 1.5  # the work of the finalists, in fits of STEPS Jacobians
ENOUGH, JACOBIANS = 6e5, 6e3  # evaluations, and Jacobians of one latent, for latents that are not tiny


@search("defect")
def gauss_newton_search(sought: Sought) -> Iterator[Candidate]:
    """Gauss-Newton on the terminal defect of a grid, or of a sampler. Yields once, at the end.

    It plays no episodes. `Sought.steps` here limits the evaluations of the denoiser, after which nothing new begins.
    """
    denoiser, num_steps, noises = sought.denoiser, sought.num_steps, (sought.start, sought.endpoints)
    if sought.freedom is None:
        yield Candidate(1, defect(denoiser, num_steps, sought.solver, *noises, sought.seed, sought.steps))
    else:
        yield Candidate(1, sampler_defect(denoiser, num_steps, sought.freedom, *noises, sought.seed, sought.steps))


@dataclass(frozen=True)
class SamplerProblem:
    """What samplers are fitted for.

    Attributes:
        denoiser: the model, with counted calls.
        num_steps: K.
        freedom: what of a sampler may be chosen.
        start, endpoints: (B, *shape) noises at σ_max and their precise endpoints.
        budget: evaluations of the denoiser after which no new Jacobian begins.
        most_weight: largest size of a weight.
    """

    denoiser: Counted
    num_steps: int
    freedom: Freedom
    start: np.ndarray
    endpoints: np.ndarray
    budget: float = np.inf
    most_weight: float = MOST_WEIGHT

    def newton(self, freedom: Freedom, rows: slice = slice(None)) -> SamplerNewton:
        """Gauss-Newton on some of the latents, within a freedom."""
        kind = working_precision(self.start)
        latents = self.start[rows].astype(kind), self.endpoints[rows].astype(kind)
        made = within(freedom, self.num_steps, self.denoiser)
        return SamplerNewton(self.denoiser, self.num_steps, made, *latents, self.budget, self.most_weight)

    def numbers(self, made: Coefficients) -> np.ndarray:
        """The numbers of a sampler in the whole freedom."""
        return self.freedom.numbers(made, self.denoiser)

    def made(self, numbers: np.ndarray) -> Coefficients:
        """The sampler of some numbers."""
        return self.freedom.coefficients(numbers, self.num_steps, self.denoiser)


def jacobian_cost(freedom: Freedom, num_steps: int) -> float:
    """Evaluations of D for one latent and one Jacobian: the numbers of a step need the run from there on."""
    kinds = 1 + freedom.told + (freedom.memory - 1)
    return num_steps**2 / 2 * (3 if freedom.shared else kinds)


def nested(freedom: Freedom) -> list[Freedom]:
    """Freedoms from few numbers to all, each within the next."""
    steps = [Freedom(2, False), Freedom(2, freedom.told), freedom]
    if freedom.shared or freedom.memory < 2:
        return [freedom]
    return list(dict.fromkeys(steps))


def screening(problem: SamplerProblem, levels: np.ndarray, seed: int, until: float) -> Generator[Fit, None, list[Fit]]:
    """Improve samplers a little, from many starts. Yields each improvement.

    Args:
        problem: on any number of latents, the first of which are used.
        levels: (K+1,) of the grid to begin with.
        seed: of the disturbed starts.
        until: evaluations after which no new start begins.

    Returns:
        Fits, best first.
    """
    freedom, rows = problem.freedom, slice(SCREENING)
    whole = problem.newton(freedom, rows)
    pool: list[Fit] = []
    for made in starts(levels, freedom):
        if pool and problem.denoiser.evaluations > until:
            break
        pool.append((yield from whole.improving(problem.numbers(made), SCREENING_STEPS)))
        if len(nested(freedom)) > 1:  # the same, one kind of number after the other
            for part in nested(freedom):
                fit = problem.newton(part, rows).improve(part.numbers(made, problem.denoiser), SCREENING_STEPS)
                made = part.coefficients(fit.numbers, problem.num_steps, problem.denoiser)
            pool.append(Fit(fit.error, problem.numbers(made)))
            yield pool[-1]
    rng = np.random.default_rng([seed, problem.num_steps])
    spreads = DISTURBANCE * Samplers(problem.denoiser, problem.num_steps, freedom).spreads()
    for _ in range(DISTURBED):
        if problem.denoiser.evaluations > until:
            break
        tried = min(pool, key=by_error).numbers + spreads * rng.standard_normal(len(spreads))
        pool.append((yield from whole.improving(tried, SCREENING_STEPS)))
    return sorted(pool, key=by_error)


def sampler_defect(
    denoiser: Denoiser,
    num_steps: int,
    freedom: Freedom,
    start: np.ndarray,
    endpoints: np.ndarray,
    seed: int = 0,
    evaluations: float | None = None,
    levels: np.ndarray | None = None,
    most_weight: float = MOST_WEIGHT,
) -> Coefficients:
    """Find the sampler of least mean endpoint error by Gauss-Newton steps on the terminal defect.

    Args:
        denoiser, num_steps, freedom: what the sampler is for, and what of it may be chosen.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        seed: of the disturbed starts.
        evaluations: of the denoiser, after which nothing new begins. The default was enough on the exact tasks.
        levels: (K+1,) of a grid for 2M to begin with. By default it is searched for with a share of the budget.
        most_weight: largest size of a weight.

    Returns:
        The coefficients.
    """
    counted = denoiser if isinstance(denoiser, Counted) else Counted(denoiser)
    before = counted.evaluations
    cost = jacobian_cost(freedom, num_steps)
    enough = MOST_EVALUATIONS if start[0].size < 16 else ENOUGH + JACOBIANS * cost
    budget = min(enough if evaluations is None else evaluations, MOST_ELEMENTS / start[0].size, MOST_EVALUATIONS)
    if levels is None:
        levels = defect(counted, num_steps, "dpmpp_2m", start, endpoints, seed, GRID_SHARE * budget)
    latents = int(np.clip((1 - STARTS_SHARE) * budget / (FITS * STEPS * cost), *LATENTS))
    problem = SamplerProblem(counted, num_steps, freedom, start, endpoints, before + budget, most_weight)
    pool = exhaust(screening(problem, levels, seed, before + STARTS_SHARE * budget))[:FINALISTS]
    many = problem.newton(freedom, slice(latents))
    best = _hopped(problem, many, _last(many, pool), np.random.default_rng([seed, num_steps, 1]))
    return problem.made(best.numbers)


def _last(many: SamplerNewton, pool: list[Fit]) -> Fit:
    """The best of some fits, each improved for a round, then the better half, and so on."""
    pool = [many.improve(fit.numbers, ROUND) for fit in pool]
    while len(pool) > 1:
        better = sorted(pool, key=by_error)[: -(-len(pool) // 2)]
        pool = [many.improve(fit.numbers, ROUND) for fit in better]
    return many.improve(pool[0].numbers, STEPS)


def _hopped(problem: SamplerProblem, many: SamplerNewton, best: Fit, rng: np.random.Generator) -> Fit:
    """The best fit near one: there are many local optima, and the next one is often better."""
    spreads = HOP * Samplers(problem.denoiser, problem.num_steps, problem.freedom).spreads()
    for _ in range(HOPS):
        if problem.denoiser.evaluations > problem.budget:
            break
        hopped = many.improve(best.numbers + spreads * rng.standard_normal(len(spreads)), ROUND)
        if hopped.error < PROMISING * best.error:
            hopped = many.improve(hopped.numbers, STEPS)
        best = min(best, hopped, key=by_error)
    return best


def starts(levels: np.ndarray, freedom: Freedom) -> Iterator[Coefficients]:
    """2M on a grid; the same with a first call that tells more; Euler on the grid."""
    for solver in ("dpmpp_2m", "euler") if freedom.memory > 1 and not freedom.shared else ("dpmpp_2m",):
        made = Sampler.of(levels, solver).coefficients()
        if freedom.told and not freedom.shared:
            for first in (FIRST_TOLD, 1.0):
                yield made._replace(told=np.append(first * 0.98, made.told[1:]))  # below σ_max, so it can move
        else:
            yield made
