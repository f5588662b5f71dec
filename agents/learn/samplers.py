"""The stage of `art-gym learn` that fits samplers: from the best schedule, with more and more numbers to choose.

Few numbers can be fitted on few noises. The learner selects among all of them on other noises, so a sampler with too
many numbers for its noises is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.sampler import Sampler
from art_gym.search.least_squares import by_error
from art_gym.search.sampler_defect import SamplerProblem, jacobian_cost, starts
from art_gym.search.sampler_newton import SamplerNewton
from art_gym.search.spaces import Samplers

from .searches import FEWEST_FITTED, Quest, Tried

FREEDOMS = (Freedom(shared=True), Freedom(2, told=False), Freedom(2), Freedom(3))
FIRST_SHARE = 0.5  # of this stage, for one fit of each freedom; disturbed copies of the best sampler get the rest
STEPS = 15  # Jacobians for each start
DISTURBANCE = 0.3  # of the copies, in units of the search's first standard deviations


def fitted_samplers(quest: Quest, until: float) -> Iterator[Tried]:
    """Samplers fitted by Gauss-Newton, each step of it.

    Args:
        quest: with a solver of one call a step, whose best schedule is the start.
        until: share of the budget after which no new fit begins.
    """
    denoiser = quest.trial.denoiser
    levels, first = quest.best(), denoiser.share
    least, best, known = np.inf, FREEDOMS[0], Sampler.of(levels, quest.trial.solver).coefficients()
    for place, freedom in enumerate(FREEDOMS):
        share = (until - first) * FIRST_SHARE / len(FREEDOMS)
        for made in (known, *starts(levels, freedom)):
            if place and denoiser.share > until:
                return
            fit = _fit(quest, freedom, share / 3)
            error = np.inf
            for found in fit.improving(freedom.numbers(made, denoiser), STEPS):
                error, known_now = found.error, fit.make(found.numbers)
                yield Tried(_label(freedom), known_now)
            if error < least:
                least, best, known = error, freedom, known_now
    yield from _disturbed(quest, best, known, until)


def _disturbed(quest: Quest, freedom: Freedom, best: Coefficients, until: float) -> Iterator[Tried]:
    """Fits that begin beside the best one, because the problem has bad local optima."""
    denoiser, num_steps = quest.trial.denoiser, quest.num_steps
    rng = np.random.default_rng([quest.seed, num_steps])
    spreads = DISTURBANCE * Samplers(denoiser, num_steps, freedom).spreads()
    fit = _fit(quest, freedom, (until - denoiser.share) / 4)
    middle = fit.improve(freedom.numbers(best, denoiser), 0)
    while denoiser.share < until:
        for found in fit.improving(middle.numbers + spreads * rng.standard_normal(len(spreads)), STEPS):
            middle = min(middle, found, key=by_error)
            yield Tried(_label(freedom), fit.make(found.numbers))
        yield Tried(_label(freedom), None)


def _fit(quest: Quest, freedom: Freedom, share: float) -> SamplerNewton:
    """Gauss-Newton on as many latents as a share of the budget pays for."""
    trial, fitted = quest.trial, quest.fitted
    per_latent = STEPS * jacobian_cost(freedom, quest.num_steps) * (1 + trial.denoiser.whole)
    count = int(np.clip(trial.denoiser.affordable(share) / per_latent, FEWEST_FITTED, len(fitted.start)))
    problem = SamplerProblem(trial.denoiser, quest.num_steps, freedom, fitted.start[:count], fitted.endpoints[:count])
    return problem.newton(freedom)


def _label(freedom: Freedom) -> str:
    return f"sampler, {freedom.name}"
