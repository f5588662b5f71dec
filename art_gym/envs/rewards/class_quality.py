"""A reward from a classifier, where no endpoint is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Denoiser, visible
from art_gym.envs.problem import Problem
from art_gym.envs.rewards.base import Components, reward
from art_gym.envs.state import Transition


@reward(class_quality={})
@dataclass(frozen=True)
class ClassQualityReward:
    """−(2 (1 − accuracy) + Fréchet distance) at the end, of the population and its class; 0 is perfect.

    Accuracy is the share that the task's classifier takes for the class that was asked for. The Fréchet distance is the
    one of its features to those of the class's data (`art_gym.measures.class_quality.Quality`). A distance between
    distributions has no value for a single sample, so the population is the sample. Its bias grows with 1/N.
    """

    def check(self, denoiser: Denoiser, population: int) -> None:
        """Raise a ValueError for a task without classes."""
        if getattr(denoiser, "quality", None) is None:
            raise ValueError("it needs classes and a classifier: choose task='guidance' or another reward")

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        accuracy, frechet = np.full((2, len(transition.landed)), np.nan)
        reward = np.zeros(len(transition.landed))
        if transition.landing is not None:
            x, denoiser = transition.landing.state.x, problem.denoiser
            classes = denoiser.condition(x.reshape(-1, *denoiser.shape)).reshape(x.shape[:2])  # type: ignore[attr-defined]
            found = denoiser.quality(visible(x, denoiser, 2), classes)  # type: ignore[attr-defined]
            accuracy[transition.landed] = [each.accuracy for each in found]
            frechet[transition.landed] = [each.frechet for each in found]
            reward[transition.landed] = [-each.cost for each in found]
        return reward, {"accuracy": accuracy, "frechet": frechet}
