"""Tries schedules and samplers with one model and one solver, against the precise endpoints of the same noises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Denoiser, from_level, visible
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.coefficients import Coefficients, follow
from art_gym.samplers.freedom import first_told_of_flow
from art_gym.samplers.methods import dpmpp_3m
from art_gym.samplers.plans import Plan, draw, levels_of
from art_gym.samplers.sampler import Sampler
from art_gym.samplers.traced import traced
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.schedule import resampled
from art_gym.solvers.base import Solver, get_solver
from art_gym.solvers.loop import integrate

from .budget import Metered

# Steps of RK4 (189 calls) to the precise endpoints. Their error is 2e-5 to 8e-5 on Ring2D, Mixture1D, Digits and
# DigitsNet. With 96 steps of DPM-Solver++(2M) it is 3e-4 to 3e-3, as large as that of a good schedule with many steps.
REFERENCE_STEPS = 48
OWN_STEPS = 50  # of a pipeline's own schedule, which says at what level each share of the steps ends


def own_path(model: Denoiser, num_steps: int) -> np.ndarray:
    """The (K+1,) levels from σ_max to 0 of a pipeline's own schedule with many steps.

    What a pipeline does in a share of its steps is then done at the levels at which its user sees it. The schedule of
    `OWN_STEPS` steps is refined, because that of more steps has another form for some schedulers. A pipeline without
    one takes the levels of `reference_grid`.
    """
    own = next(iter(model.own_levels(OWN_STEPS).values()), np.empty(0))  # type: ignore[attr-defined]
    inner = own[1:-1][(own[1:-1] >= model.sigma_min) & (own[1:-1] < model.sigma_max)]
    if not len(inner):
        return reference_grid(model, num_steps)
    return resampled(np.concatenate([[model.sigma_max], inner, [0.0]]), num_steps)


@dataclass(frozen=True)
class Noises:
    """(B, *shape) latents at σ_max and their precise endpoints."""

    start: np.ndarray
    endpoints: np.ndarray


@dataclass(frozen=True)
class Trial:
    """Draws samples with schedules and measures their errors.

    Attributes:
        model: the model itself.
        denoiser: the same model behind a meter, which counts every call here.
        solver: of the schedules.
    """

    model: Denoiser
    denoiser: Metered
    solver: Solver

    def solve(self, start: np.ndarray, steps: int = REFERENCE_STEPS) -> np.ndarray:
        """(B, *shape) precise endpoints of latents at σ_max, by as many calls as this number of steps of RK4 makes.

        A model that depends on the number of the step is solved by DPM-Solver++(3M), in whole runs along `own_path`.
        With 189 calls its error is 4e-4 to 1e-3 on Ring2D, Mixture1D, Digits and DigitsNet.
        """
        samples: np.ndarray
        if getattr(self.model, "whole", False):
            levels = own_path(self.model, get_solver("rk4").evaluations(steps))
            samples = follow(self.denoiser, traced(dpmpp_3m, levels), start)
        else:
            samples = integrate(self.denoiser, reference_grid(self.model, steps), start, "rk4")
        return samples

    def sample(self, plan: Plan, noises: Noises) -> np.ndarray:
        """(B, *shape) samples drawn with (K+1,) levels, or with a sampler."""
        if getattr(self.model, "flow", False) and self.solver.calls_per_step == 1:
            plan = self.numbers(plan)
        start = from_level(noises.start, levels_of(plan)[0], self.model)  # own schedules may begin below σ_max
        samples: np.ndarray = draw(self.denoiser, plan, start, self.solver)
        return samples

    def numbers(self, plan: Plan) -> Coefficients:
        """All numbers of a sampler, or of (K+1,) levels with the solver, as pipelines use them.

        Pipelines of flow models begin with plain noise, so their first told level is fixed (`first_told_of_flow`).
        """
        made = plan if isinstance(plan, Coefficients) else Sampler.of(levels_of(plan), self.solver).coefficients()
        first = first_told_of_flow(self.model)
        return made if first is None else made._replace(told=np.append(first, made.told[1:]))

    def errors(self, samples: np.ndarray, noises: Noises) -> np.ndarray:
        """(B,) endpoint errors, without the channels that carry a condition."""
        return endpoint_error(visible(samples, self.model), visible(noises.endpoints, self.model))

    def error(self, plan: Plan, noises: Noises) -> float:
        """The mean endpoint error of (K+1,) levels, or of a sampler."""
        return float(self.errors(self.sample(plan, noises), noises).mean())
