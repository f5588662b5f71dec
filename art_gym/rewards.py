"""Rewards: what a step of the sampler is worth. Each is an object called with one transition of E environments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from art_gym.denoisers.base import Denoiser, visible
from art_gym.noise_bank import NoiseBank
from art_gym.parts import get_part
from art_gym.problem import Problem
from art_gym.quality import endpoint_error, energy_distance, random_directions, sliced_wasserstein
from art_gym.schedules.closed_forms import dual_weights
from art_gym.schedules.fine import reference_grid
from art_gym.solvers import Denoise
from art_gym.state import Landing, State, Transition

DUAL_NOISES = 64  # trajectories that the dual weights are computed along
Components = dict[str, np.ndarray]


class Reward(Protocol):
    """Gives (E,) rewards and named (E,) components for ``info``, NaN where a component has no value.

    A method ``check(denoiser, population)`` is optional: it raises a ValueError where the reward cannot work, when an
    environment is made.
    """

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]: ...


@dataclass(frozen=True)
class LogRatio:
    """log(mean err_ref / mean err) at the end, over the population, on the same noise; err as in DESIGN §3.

    0 is as good as EDM's grid, 0.69 halves its error. Blind to everything but the precise endpoints: samples that are
    as good but elsewhere count as errors, and it says nothing about errors of the denoiser itself.

    Attributes:
        power: 1 for the mean of errors, 2 for their root mean square (ruled by latents that change their mode).
        images: errors between decoded images, for latent-diffusion models.
    """

    power: int = 1
    images: bool = False

    def check(self, denoiser: Denoiser, population: int) -> None:
        """Raise a ValueError where decoded images are compared and there is no decoder."""
        if self.images and getattr(denoiser, "decode", None) is None:
            raise ValueError(
                "it compares decoded images, and the task has no decoder: load a pipeline with a VAE, pass "
                "decoder=..., or choose reward='log_ratio'"
            )

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        def mean(errors: np.ndarray) -> np.ndarray:
            return (errors**self.power).mean(axis=1) ** (1 / self.power)

        def value(landing: Landing) -> np.ndarray:
            errors, references = landing.errors, landing.reference_errors
            if self.images:
                errors, references = (
                    of(landing.state, images=True) for of in (problem.endpoint_errors, problem.reference_errors)
                )
            error, reference = (np.maximum(mean(found), problem.error_floor) for found in (errors, references))
            return np.log(reference / error)

        reward = transition.on_landed(value, elsewhere=0.0)
        return reward, {"image_log_ratio": np.where(transition.landed, reward, np.nan)} if self.images else {}


@dataclass(frozen=True)
class Linear:
    """1 − mean err / (mean err_ref over the bank) at the end; at population 1 its mean is that of the score's error."""

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        def value(landing: Landing) -> np.ndarray:
            return 1 - landing.errors.mean(axis=1) / problem.mean_reference_error(landing.state.num_steps)

        return transition.on_landed(value, elsewhere=0.0), {}


@dataclass(frozen=True)
class PathDistance:
    """Decrease of the distance to the precise path of the same noise: pays at every step, telescopes to `Linear`.

    The distance at level σ is taken in units of √(σ² + s²)/s, by which errors shrink on the way down to the data
    (exactly so for N(0, s²)), and divided by the mean error of EDM's grid. The landing pays the 1 of `Linear`.
    """

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        before, after = (self._distance(state, problem) for state in (transition.before, transition.after))
        scale = problem.mean_reference_error(transition.before.num_steps)
        return (before - after) / scale + transition.landed, {"path_distance": after}

    def _distance(self, state: State, problem: Problem) -> np.ndarray:
        start = ~np.isfinite(state.previous_sigma)
        shrink = problem.denoiser.data_std / np.sqrt(state.sigma**2 + problem.denoiser.data_std**2)
        latents, exact = (visible(x, problem.denoiser, 2) for x in (state.x, _path_at(state, problem)))
        distance = endpoint_error(latents, exact, batch_axes=2).mean(axis=1) * shrink
        return np.where(start, 0.0, distance)


def _path_at(state: State, problem: Problem) -> np.ndarray:
    """(E, N, *shape): the precise path at each environment's σ, linear in σ between the nodes of the fine grid.

    Where D is constant the path is a line in σ, and between neighbouring nodes D hardly changes. σ = 0 is a node.
    """
    grid = reference_grid(problem.denoiser)
    paths = problem.bank.paths(int(state.noise.max()) + 1)
    upper = np.clip(np.searchsorted(-grid, -state.sigma, side="right") - 1, 0, len(grid) - 2)  # (E,)
    high, low = grid[upper], grid[upper + 1]
    share = ((high - state.sigma) / (high - low)).astype(np.float32)  # linear in σ
    share = share.reshape(-1, *[1] * (state.x.ndim - 1))
    first, second = paths[state.noise, upper[:, None]], paths[state.noise, upper[:, None] + 1]
    return first + share * (second - first)


@dataclass(frozen=True)
class SlicedEndpoints:
    """−(sliced-Wasserstein distance of the population to its own precise endpoints) / s at the end; 0 is perfect."""

    directions: int = 128

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        def value(landing: Landing) -> np.ndarray:
            state = landing.state
            both = (state.x, problem.bank.endpoints[state.noise])
            samples, endpoints = (_flat(visible(array, problem.denoiser, 2)) for array in both)
            return sliced_wasserstein(samples, endpoints, _directions(samples.shape[-1], self.directions))

        distance = transition.on_landed(value, elsewhere=np.nan)
        reward = -np.where(transition.landed, distance, 0.0) / problem.denoiser.data_std
        return reward, {"sliced_wasserstein": distance}


@dataclass(frozen=True)
class DataDistance:
    """−(distance of the population to as many draws of the data) at the end: sliced-Wasserstein over s, or energy.

    Noisy for small populations, and never 0: even perfect samples differ from other draws of the data.

    Attributes:
        measure: "sliced" or "energy".
    """

    measure: str = "sliced"
    directions: int = 128

    def check(self, denoiser: Denoiser, population: int) -> None:
        """Raise a ValueError where there are no data, or too few samples for the energy distance."""
        if getattr(denoiser, "sample_data", None) is None:
            raise ValueError(
                f"it compares with data, but {type(denoiser).__name__} has no sample_data(n, rng): add it, or choose "
                f"reward='log_ratio'"
            )
        if self.measure == "energy" and population < 2:
            raise ValueError("the energy distance needs a population of at least 2: choose one, or 'sliced_data'")

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        sample_data: Callable[[int, np.random.Generator], np.ndarray] = problem.denoiser.sample_data  # type: ignore[attr-defined]

        def value(landing: Landing) -> np.ndarray:
            samples = _flat(visible(landing.state.x, problem.denoiser, 2))  # (L, N, d)
            # The draw depends on the noises alone: the same episode has the same reward in any environment.
            seeds = landing.state.noise[:, 0]
            data = np.stack([sample_data(samples.shape[1], np.random.default_rng([3, int(seed)])) for seed in seeds])
            data = _flat(data)
            if self.measure == "energy":
                return np.array([energy_distance(a, b) for a, b in zip(samples, data, strict=True)])
            return sliced_wasserstein(samples, data, _directions(samples.shape[-1], self.directions))

        distance = transition.on_landed(value, elsewhere=np.nan)
        unit = problem.denoiser.data_std
        return -np.where(transition.landed, distance, 0.0) / unit, {f"{self.measure}_distance_to_data": distance}


@dataclass(frozen=True)
class Stiffness:
    """The paper's running cost −|Q| θ² Δt on a clock of K ticks, in the coordinate τ = arctan(σ/s) (DESIGN §2).

    |Q| = ‖dD/d log σ‖ / √d · (d log σ/dτ)² is found by a second denoiser call at σ e^{−h} on the solver-free (Euler)
    path; the action of the step is θ = Δτ/Δt, whatever the action map. The landing counts like any other step.

    Attributes:
        probe: h, the relative step of the finite difference.
        dual: weigh |Q| with how much of it arrives at the end, by noise level (`closed_forms.dual_weights`, computed
            once along precise trajectories of the bank).
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


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(*array.shape[:2], -1)


@lru_cache(maxsize=8)
def _directions(dimension: int, count: int) -> np.ndarray:
    """Fixed directions: the same episode always has the same reward."""
    return random_directions(dimension, 1 if dimension == 1 else count, np.random.default_rng(2607))


REWARDS: dict[str, Reward] = {
    "log_ratio": LogRatio(),
    "log_ratio_rms": LogRatio(power=2),
    "log_ratio_images": LogRatio(images=True),
    "linear": Linear(),
    "path": PathDistance(),
    "sliced_endpoints": SlicedEndpoints(),
    "sliced_data": DataDistance("sliced"),
    "energy_data": DataDistance("energy"),
    "stiffness": Stiffness(),
    "dual_stiffness": Stiffness(dual=True),
}


def get_reward(reward: str | Reward) -> Reward:
    """The reward of that name, or text (`art_gym.parts`); an object is handed back. Raises as `parts.get_part`."""
    return get_part("reward", "reward", reward, REWARDS)
