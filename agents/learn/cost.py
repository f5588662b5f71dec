"""What a budget buys, said before the search: the time of a call, noises, endpoints, candidates, and free numbers."""

from __future__ import annotations

import time

import numpy as np

from art_gym.solvers.base import get_solver

from .budget import Metered
from .noises import CHUNK, MOST_NOISES, REFERENCE_SHARE, SPLIT, Draws
from .samplers import FREEDOMS
from .trial import REFERENCE_STEPS, Trial

NOISES_PER_NUMBER = 2  # noises to fit on for each number that may be chosen


def least_evaluations() -> float:
    """The evaluations that a comparison on separate noises needs."""
    return CHUNK * get_solver("rk4").evaluations(REFERENCE_STEPS) / REFERENCE_SHARE


def enough(meter: Metered, seconds: float) -> str:
    """The budget that a comparison needs, in words, at the speed so far."""
    wanted = least_evaluations()
    took = wanted * seconds / max(meter.evaluations, 1)
    return f"Give at least {wanted:,.0f} evaluations, which take about {took:.0f} s at this speed"


def cost_of(trial: Trial, draws: Draws, num_steps: int, rng: np.random.Generator) -> str:
    """Time one call, and say in words what the budget buys and how many numbers to choose.

    Args:
        trial: the model, with metered calls.
        draws: of noises.
        num_steps: K.
        rng: for the noises of the call.
    """
    noises = draws.draw(CHUNK, rng)
    began = time.perf_counter()
    trial.denoiser(noises, np.full(CHUNK, trial.model.data_std, np.float32))
    each = (time.perf_counter() - began) / CHUNK
    budget = trial.denoiser.budget
    evaluations = min(budget.seconds / max(each, 1e-9), budget.evaluations)
    said = (
        f"a call takes {each * CHUNK:.2g} s for {CHUNK} noises, so the budget buys about {evaluations:,.0f} "
        f"evaluations of one noise"
    )
    per_noise = get_solver("rk4").evaluations(REFERENCE_STEPS)
    chunks = int(np.clip(REFERENCE_SHARE * evaluations / (per_noise * CHUNK), 0, MOST_NOISES / CHUNK))
    if not chunks:
        least = least_evaluations()
        return f"{said}: too few for a comparison, which needs {least:,.0f}, about {least * each:,.0f} s"
    fitted = round(SPLIT[0] * CHUNK) * chunks
    candidates = (1 - REFERENCE_SHARE) * evaluations / (fitted * trial.solver.evaluations(num_steps))
    return (
        f"{said}: precise endpoints of {chunks * CHUNK} noises ({per_noise} each) and {candidates:,.0f} candidates on "
        f"the {fitted} to fit on; {_recommended(num_steps, fitted, trial.solver.calls_per_step == 1)}"
    )


def _recommended(num_steps: int, fitted: int, may_sample: bool) -> str:
    """How many numbers that many noises pay for, and what has as many, in words."""
    numbers = {"a schedule": num_steps - 1}
    if may_sample:
        numbers |= {f"a sampler ({freedom.name})": freedom.size(num_steps) for freedom in FREEDOMS}
    most = fitted // NOISES_PER_NUMBER
    paid = {name: count for name, count in numbers.items() if count <= most}
    pay = f"at {NOISES_PER_NUMBER} noises a number they pay for {most}"
    if not paid:
        return f"{pay}, fewer than a schedule has ({num_steps - 1})"
    name = max(paid, key=lambda name: paid[name])
    return f"{pay} of them: choose at most {name}, which has {paid[name]}"
