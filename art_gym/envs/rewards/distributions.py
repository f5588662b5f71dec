"""Rewards from distances between sets of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from art_gym.denoisers.base import Denoiser, visible
from art_gym.envs.problem import Problem
from art_gym.envs.rewards.base import Components, reward
from art_gym.envs.state import Landing, Transition
from art_gym.measures.distances import energy_distance, random_directions, sliced_wasserstein


@reward(sliced_endpoints={})
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


@reward(sliced_data={"measure": "sliced"}, energy_data={"measure": "energy"})
@dataclass(frozen=True)
class DataDistance:
    """−(distance of the population to an equal number of data draws) / s at the end, sliced-Wasserstein or energy.

    It is noisy for small populations. It is never 0, because even perfect samples differ from other data draws.

    Attributes:
        measure: "sliced" or "energy".
    """

    measure: str = "sliced"
    directions: int = 128

    def check(self, denoiser: Denoiser, population: int) -> None:
        """Raise a ValueError if there are no data, or too few samples for the energy distance."""
        if getattr(denoiser, "sample_data", None) is None:
            raise ValueError(
                f"it compares with data, but {type(denoiser).__name__} has no sample_data(n, rng): add it, or choose "
                f"reward='log_ratio'"
            )
        if self.measure == "energy" and population < 2:
            raise ValueError(
                f"the energy distance needs a population of at least 2, got {population}: choose a larger one, or "
                f"reward='sliced_data'"
            )

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        sample_data: Callable[[int, np.random.Generator], np.ndarray] = problem.denoiser.sample_data  # type: ignore[attr-defined]

        def value(landing: Landing) -> np.ndarray:
            samples = _flat(visible(landing.state.x, problem.denoiser, 2))  # (L, N, d)
            # The draw depends only on the noises, so an episode has the same reward in any environment.
            seeds = landing.state.noise[:, 0]
            data = np.stack([sample_data(samples.shape[1], np.random.default_rng([3, int(seed)])) for seed in seeds])
            data = _flat(data)
            if self.measure == "energy":
                return np.array([energy_distance(a, b) for a, b in zip(samples, data, strict=True)])
            return sliced_wasserstein(samples, data, _directions(samples.shape[-1], self.directions))

        distance = transition.on_landed(value, elsewhere=np.nan)
        unit = problem.denoiser.data_std
        return -np.where(transition.landed, distance, 0.0) / unit, {f"{self.measure}_distance_to_data": distance}


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(*array.shape[:2], -1)


@lru_cache(maxsize=8)
def _directions(dimension: int, count: int) -> np.ndarray:
    """Fixed directions, so that an episode always has the same reward."""
    return random_directions(dimension, 1 if dimension == 1 else count, np.random.default_rng(2607))
