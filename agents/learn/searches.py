"""The stages of `art-gym learn`, as generators of schedules, from which the learner keeps the best.

A stage may go on without end, because the meter of the denoiser stops it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from art_gym.samplers.coefficients import Coefficients
from art_gym.schedules.closed_forms import ART_NODES, DUAL_NODES, art, cancellation_aware, dual_weighted
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.schedules.instant import STEPS as INSTANT_STEPS
from art_gym.search.defect import FINALISTS, SCREENING, STEPS, screening
from art_gym.search.evolution import evolve
from art_gym.search.gauss_newton import GaussNewton, jacobian_cost
from art_gym.search.instant import BUDGET, find
from art_gym.search.spaces import Grids
from art_gym.search.tuned import EVALUATIONS as TUNING
from art_gym.search.tuned import tuned

from ..reports.comparison import label, tuned_label
from .trial import Noises, Trial

HAND_MADE = ("edm", "log_snr", "cosine", "arctan", "sigmoid")
TUNING_SHARE = 0.03  # share of the budget for EDM's grid with its two parameters fitted
FEWEST_TUNED = 8  # noises for this fit
CLOSED_FORM_SHARE = 0.05  # share of the budget for each closed form
INSTANT_SOLVERS = "dpmpp_2m", "euler"
DUAL_FORMS = {"dual-weighted closed form": dual_weighted, "cancellation-aware closed form": cancellation_aware}
DUAL_EVALUATIONS = DUAL_NODES * (DUAL_NODES + 2)  # per noise: two solutions from each node to the end
DUAL_NOISES = (8, 64)  # below the first number they are skipped, above the second more do not help
ART_NOISES = (2, 64)  # fewest and most, for the plain closed form
SCREEN_SHARE = 0.2  # share of the budget for candidates on few latents
FIT_SHARE = 0.25  # share of the budget for Gauss-Newton from one start
FEWEST_FITTED = 16  # latents for this fit
MOST_JUDGED = 64  # noises on which a generation of CMA-ES is judged
OFFERED = 10  # generations of CMA-ES between offered schedules
ART = "ART closed form"


class Tried(NamedTuple):
    """A schedule or a sampler that a search has found.

    Attributes:
        method: the name of what found it.
        plan: (K+1,) levels with a trailing 0, or a sampler, or None if the search goes on without a new one.
    """

    method: str
    plan: np.ndarray | Coefficients | None


@dataclass(frozen=True)
class Quest:
    """The input of every stage.

    Attributes:
        trial: the model, with metered calls, and its solver.
        num_steps, seed: of the schedule.
        fitted: noises to fit schedules on.
        best: returns the (K+1,) levels of the best schedule so far.
        published: (K+1,) levels by name that are known for the model.
        until: share of the budget at which Gauss-Newton gives way to samplers or an agent.
    """

    trial: Trial
    num_steps: int
    seed: int
    fitted: Noises
    best: Callable[[], np.ndarray]
    published: Mapping[str, np.ndarray]
    until: float = np.inf


def closed_form(trial: Trial, num_steps: int, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """The (K+1,) levels of ART's closed form. A share of the budget limits the number of noises."""
    count = int(np.clip(trial.denoiser.affordable(CLOSED_FORM_SHARE) / ART_NODES, *ART_NOISES))
    return art(trial.denoiser, num_steps, draw(count))


def hand_made(quest: Quest) -> Iterator[Tried]:
    """Grids with their published parameters, and EDM's with fitted ones."""
    trial = quest.trial
    for name in HAND_MADE:
        yield Tried(label(name), make_grid(name, quest.num_steps, trial.model))
    for name, levels in quest.published.items():
        yield Tried(name, levels)
    count = int(min(trial.denoiser.affordable(TUNING_SHARE) / (TUNING * quest.num_steps), len(quest.fitted.start)))
    if count >= FEWEST_TUNED:
        noises = quest.fitted.start[:count], quest.fitted.endpoints[:count]
        levels, _ = tuned("edm", quest.num_steps, trial.denoiser, trial.solver, *noises)
        yield Tried(tuned_label("edm"), levels)


def from_probe(quest: Quest) -> Iterator[Tried]:
    """The instant schedule, where there is one for the solver and K, and the budget pays for it."""
    denoiser, solver = quest.trial.denoiser, quest.trial.solver.name
    affordable = denoiser.affordable(CLOSED_FORM_SHARE) >= BUDGET
    if affordable and solver in INSTANT_SOLVERS and INSTANT_STEPS[0] <= quest.num_steps <= INSTANT_STEPS[1]:
        yield Tried("instant", np.array(find(denoiser, quest.num_steps, solver).plan.sigmas))


def dual_forms(quest: Quest) -> Iterator[Tried]:
    """The closed forms that weigh a defect by its effect at the end."""
    denoiser = quest.trial.denoiser
    for name, form in DUAL_FORMS.items():
        count = int(min(denoiser.affordable(CLOSED_FORM_SHARE) / DUAL_EVALUATIONS, DUAL_NOISES[1]))
        if min(count, len(quest.fitted.start)) >= DUAL_NOISES[0]:
            yield Tried(name, form(denoiser, quest.num_steps, quest.fitted.start[:count]))


def gauss_newton(quest: Quest) -> Iterator[Tried]:
    """The search of `defect`: many starts on few latents, from coarse to fine, then the best ones on many latents."""
    model, denoiser = quest.trial.model, quest.trial.denoiser

    def tried(logits: np.ndarray) -> Tried:
        return Tried("Gauss-Newton", levels_from_logits(logits, model))

    share, least = denoiser.affordable(SCREEN_SHARE), np.inf
    few = _fit(quest, SCREEN_SHARE / 2, SCREENING, budget=denoiser.evaluations + share)
    candidates = screening(few, quest.best(), quest.num_steps, share, quest.seed)
    while True:
        try:
            found = next(candidates)
        except StopIteration as end:
            pool = end.value
            break
        better = len(found.numbers) == quest.num_steps - 1 and found.error < least  # others have fewer steps
        least = min(found.error, least) if better else least
        yield tried(found.numbers) if better else Tried("Gauss-Newton", None)
    fit = _fit(quest, FIT_SHARE, len(quest.fitted.start))
    for _, logits in pool[:FINALISTS]:
        yield tried(logits)  # it may be a start, not yet offered
        if denoiser.share < quest.until:
            yield from (tried(found.numbers) for found in fit.improving(logits, STEPS))


def evolution(quest: Quest) -> Iterator[Tried]:
    """CMA-ES from the best so far, restarted until the budget is spent."""
    trial, fitted = quest.trial, quest.fitted
    for restart in range(1, 1000):  # until the meter stops it
        search = evolve(
            Grids(trial.denoiser, quest.num_steps, trial.solver),
            fitted.start,
            fitted.endpoints,
            generations=40 + 10 * quest.num_steps,
            batch=min(len(fitted.start), MOST_JUDGED),  # drawn with replacement, so more would only be repeats
            seed=quest.seed + restart,
            first=logits_from_levels(quest.best(), trial.model),
            spread=0.43,
        )
        for generation, levels in enumerate(search, start=1):
            yield Tried("CMA-ES", levels if generation % OFFERED == 0 else None)


def _fit(quest: Quest, share: float, most: int, budget: float = np.inf) -> GaussNewton:
    """Gauss-Newton from one start, on as many latents as a share of the budget pays for. Jacobians are expensive."""
    trial, fitted = quest.trial, quest.fitted
    per_latent = STEPS * jacobian_cost(trial.solver, quest.num_steps) * (1 + trial.denoiser.whole)
    count = int(np.clip(trial.denoiser.affordable(share) / per_latent, FEWEST_FITTED, most))
    return GaussNewton(trial.denoiser, trial.solver, fitted.start[:count], fitted.endpoints[:count], budget)
