"""A schedule or a sampler for a new model from fewer than 1,000 evaluations: a probe, a policy, and one correction.

The policy (`art_gym.schedules.instant`) maps the probe to levels. It was trained on random exact models. Then a single
Gauss-Newton step on few noises corrects what it gives (`art_gym.search.correction`). A model whose profile is unlike
those of the training gets ART's closed form instead.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from art_gym.common.messages import short
from art_gym.denoisers.base import Counted, Denoiser, check_single
from art_gym.denoisers.checks import check_call_once, check_denoiser
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.freedom import kept_told, weights_2m
from art_gym.samplers.plans import Document, document
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.instant import SOLVERS, STEPS, InstantPolicy, load_policy, shifted
from art_gym.schedules.probe import Probe, probe
from art_gym.schedules.schedule import Schedule
from art_gym.search.correction import correct
from art_gym.search.sampler_newton import Make

NOISES, LEVELS = 8, 24  # of the probe for 2M, which leaves most evaluations to the correction. Euler gets a full probe.
BUDGET = 1000  # evaluations in all
SECOND = SOLVERS[0]  # the solver that samplers begin with


class Found(NamedTuple):
    """What a probe and a correction gave.

    Attributes:
        plan: the schedule, or the sampler.
        probe: what it comes from.
        evaluations: of the denoiser, in all.
        distance, threshold: of the model's profile from those of the training, and the largest that counts as known.
    """

    plan: Document
    probe: Probe
    evaluations: int
    distance: float
    threshold: float

    @property
    def known(self) -> bool:
        """Whether the model is like those of the training. If not, the levels are the closed form's."""
        return self.distance <= self.threshold

    def summary(self) -> str:
        """One line: what it cost, and which schedule it gave."""
        cost = f"it took {self.evaluations} evaluations"
        far = f"the profile's distance from the training models is {self.distance:.2f}"
        if self.known:
            return f"{cost}; {far}, within the limit of {self.threshold:.2f}"
        return f"{cost}; {far}, above the limit of {self.threshold:.2f}, so this is the ART closed form"


def instant(denoiser: Denoiser, num_steps: int, solver: str = SECOND) -> Schedule:
    """Make a schedule for a new model from fewer than 1,000 evaluations.

    Args:
        denoiser: D.
        num_steps: K, from 3 to 20.
        solver: dpmpp_2m or euler.

    Returns:
        The schedule. It is the ART closed form, with a warning, if the model is unlike those of the training.

    Raises:
        ValueError: for another K or solver, or values of D that are not finite.
    """
    plan = _warned(find(denoiser, num_steps, solver)).plan
    assert isinstance(plan, Schedule)
    return plan


def instant_sampler(denoiser: Denoiser, num_steps: int) -> Sampler:
    """As `instant`, but make a sampler: its levels, weights and told levels.

    Returns:
        The sampler. It is DPM-Solver++(2M) on the closed form, with a warning, if the model is unlike those of the
        training.
    """
    plan = _warned(find(denoiser, num_steps, sampler=True)).plan
    assert isinstance(plan, Sampler)
    return plan


def _warned(found: Found) -> Found:
    if not found.known:
        warnings.warn(found.summary(), stacklevel=3)
    return found


def find(
    denoiser: Denoiser,
    num_steps: int,
    solver: str = SECOND,
    task: str | None = None,
    sampler: bool = False,
    budget: int = BUDGET,
) -> Found:
    """As `instant`, or `instant_sampler`, with what is known of the model.

    Args:
        denoiser, num_steps, solver: as there.
        task: a name for the file.
        sampler: make a sampler.
        budget: evaluations. If they do not pay for a correction, there is none.
    """
    check_request(num_steps, solver, sampler)
    check_single(denoiser)
    check_call_once(check_denoiser(denoiser))
    policy, counted = load_policy(), Counted(denoiser)
    second = solver == SECOND
    seen = probe(counted, *((NOISES, LEVELS) if second else ()))
    distance = policy.distance(seen)
    known = distance <= policy.threshold
    made = _closed_form(seen, num_steps, solver)
    if known:
        first, make = begin(policy, denoiser, seen, num_steps, solver, sampler)
        left = budget - seen.evaluations if second else 0
        made = make(correct(counted, seen, num_steps, make, first, left))
    method = "instant" if known else "art, as the model is unlike those that instant was trained on"
    provenance = {"task": task, "solver": solver, "flow": bool(getattr(denoiser, "flow", False))}
    plan = document(made if sampler else made.sigmas, method, **provenance)
    return Found(plan, seen, counted.evaluations, distance, policy.threshold)


def begin(
    policy: InstantPolicy, denoiser: Denoiser, seen: Probe, num_steps: int, solver: str, sampler: bool
) -> tuple[np.ndarray, Make]:
    """What the policy gives: (P,) numbers, and the sampler that such numbers make.

    They are the shifts of K − 1 levels and, for a sampler, what K − 1 weights add to those of 2M.
    """
    form, inner = seen.closed_form(num_steps), num_steps - 1
    if not sampler:
        return policy.shift(seen, num_steps, solver), lambda shift: _of_solver(shifted(seen, form, shift), solver)
    shift, weights, logs = policy.coefficients(seen, num_steps)

    def make(numbers: np.ndarray) -> Coefficients:
        plain = _of_solver(shifted(seen, form, numbers[:inner]), solver)
        added = np.append(0.0, numbers[inner:])[:, None]  # (K, 1)
        return Coefficients(plain.sigmas, kept_told(np.exp(logs), plain.sigmas, denoiser), plain.weights + added)

    return np.concatenate([shift, weights[1:]]), make


def _closed_form(seen: Probe, num_steps: int, solver: str) -> Coefficients:
    return _of_solver(seen.closed_form(num_steps), solver)


def _of_solver(levels: np.ndarray, solver: str) -> Coefficients:
    """Levels with the weights of the solver."""
    weights = weights_2m(levels) if solver == SECOND else np.zeros(len(levels) - 1)
    return Coefficients(levels, np.ones(len(levels) - 1), weights[:, None])


def check_request(num_steps: int, solver: str, sampler: bool = False) -> None:
    """Raise a ValueError if no instant schedule has this K or solver, or no sampler begins with it."""
    if sampler and solver != SECOND:
        raise ValueError(f"instant samplers begin with {SECOND}, got {short(solver)}: leave the solver out")
    if solver not in SOLVERS:
        raise ValueError(
            f"instant schedules are for {', '.join(SOLVERS)}, got {short(solver)}: `art-gym learn` takes any"
        )
    if not isinstance(num_steps, int | np.integer) or not STEPS[0] <= num_steps <= STEPS[1]:
        raise ValueError(
            f"instant schedules have {STEPS[0]} to {STEPS[1]} steps, got {short(num_steps)}: make one and resample it"
        )
