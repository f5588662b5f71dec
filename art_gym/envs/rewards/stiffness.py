"""The paper's running cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from art_gym.denoisers.base import Denoiser, visible
from art_gym.envs.problem import Problem
from art_gym.envs.rewards.base import Components, reward
from art_gym.envs.state import Transition
from art_gym.measures.errors import endpoint_error
from art_gym.schedules.closed_forms import dual_weights
from art_gym.solvers.base import Denoise
from art_gym.tasks.noise_bank import NoiseBank

DUAL_NOISES = 64  # trajectories for the dual weights


@reward(stiffness={}, dual_stiffness={"dual": True})
@dataclass(frozen=True)
class Stiffness:
    """The paper's running cost −|Q| θ² Δt on a clock of K ticks, in the coordinate τ = arctan(σ/s) (DESIGN §2).

    |Q| = ‖dD/d log σ‖ / √d · (d log σ/dτ)² comes from a second denoiser call at σ e^{−h} on the solver-free (Euler)
    path. The action of the step is θ = Δτ/Δt for every action map. The landing counts like any other step.

    Attributes:
        probe: h, the relative step of the finite difference.
        dual: weigh |Q| at each noise level with the part of it that arrives at the end (`closed_forms.dual_weights`,
            computed once along precise trajectories of the bank).
    """

    probe: float = 0.02
    dual: bool = False

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        before, after = transition.before, transition.after
        scale = problem.denoiser.data_std
        count, population = before.noise.shape
        x, denoised = (array.reshape(count * population, *array.shape[2:]) for array in (before.x, before.denoised))
        levels = np.repeat(before.sigma, population)
        each = clock_stiffness(problem.denoise, problem.denoiser, x, denoised, levels, self.probe)
        stiffness = each.reshape(count, population).mean(axis=1)  # (E,)
        if self.dual:
            nodes, weights = _dual_weights(problem.bank)
            stiffness = stiffness * np.interp(-before.sigma, -nodes, weights)
        length = np.arctan(problem.denoiser.sigma_max / scale)  # of the whole clock in τ
        speed = (np.arctan(before.sigma / scale) - np.arctan(after.sigma / scale)) / length * before.num_steps
        return -stiffness * speed**2 / before.num_steps, {"stiffness": stiffness, "clock_speed": speed}


def clock_stiffness(
    denoise: Denoise, denoiser: Denoiser, x: np.ndarray, denoised: np.ndarray, sigma: np.ndarray, probe: float
) -> np.ndarray:
    """(B,) |Q| = ‖dD/d log σ‖ / √d · (d log σ/dτ)² in τ = arctan(σ/s), normalised to [0, 1].

    Args:
        denoise: D, called once at σ e^{−probe} on the Euler path from (B, *shape) x and its estimates.
        denoiser: what D belongs to.
        x, denoised, sigma: the latents, D(x, σ) and (B,) noise levels.
        probe: relative step of the finite difference.
    """
    shrink = math.exp(-probe)
    moved = denoise(shrink * x + (1 - shrink) * denoised, (sigma * shrink).astype(x.dtype))
    slope = endpoint_error(visible(moved, denoiser), visible(denoised, denoiser)) / probe
    ratio = sigma / denoiser.data_std
    length = math.atan(denoiser.sigma_max / denoiser.data_std)
    return slope * (length * (1 + ratio**2) / ratio) ** 2


@lru_cache(maxsize=8)
def _dual_weights(bank: NoiseBank) -> tuple[np.ndarray, np.ndarray]:
    return dual_weights(bank.denoiser, bank.first(DUAL_NOISES)[0])
