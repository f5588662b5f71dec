"""Rewards from the errors of the samples that landed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.envs.problem import Problem
from art_gym.envs.rewards.base import Components, reward
from art_gym.envs.state import Landing, Transition


@reward(log_ratio={}, log_ratio_rms={"power": 2}, log_ratio_images={"images": True})
@dataclass(frozen=True)
class LogRatio:
    """log(mean err_ref / mean err) at the end, over the population, on the same noise; err as in DESIGN §3.

    0 is as good as EDM's grid, 0.69 halves its error. The reward sees only the precise endpoints. Samples that are as
    good but elsewhere count as errors, and errors of the denoiser itself do not count.

    Attributes:
        power: 1 for the mean of errors, 2 for their root mean square (dominated by latents that change their mode).
        images: errors between decoded images, for latent-diffusion models.
    """

    power: int = 1
    images: bool = False

    def check(self, denoiser: Denoiser, population: int) -> None:
        """Raise a ValueError if decoded images are compared and there is no decoder."""
        if self.images and getattr(denoiser, "decode", None) is None:
            raise ValueError(
                "it compares decoded images, and the task has no decoder: load a pipeline with a VAE, pass "
                "decoder=..., or choose reward='log_ratio'"
            )

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        def mean(errors: np.ndarray) -> np.ndarray:
            mean: np.ndarray = (errors**self.power).mean(axis=1) ** (1 / self.power)
            return mean

        def value(landing: Landing) -> np.ndarray:
            errors, references = landing.errors, landing.reference_errors
            if self.images:
                errors, references = (
                    of(landing.state, images=True) for of in (problem.endpoint_errors, problem.reference_errors)
                )
            floor = problem.error_floor(landing.state)
            error, reference = (np.maximum(mean(found), floor) for found in (errors, references))
            gain: np.ndarray = np.log(reference / error)
            return gain

        reward = transition.on_landed(value, elsewhere=0.0)
        return reward, {"image_log_ratio": np.where(transition.landed, reward, np.nan)} if self.images else {}


@reward(linear={})
@dataclass(frozen=True)
class Linear:
    """1 − mean err / (mean err_ref over the bank) at the end.

    At population 1, its mean over episodes depends on the same mean error as the score.
    """

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        def value(landing: Landing) -> np.ndarray:
            share: np.ndarray = 1 - landing.errors.mean(axis=1) / problem.mean_reference_error(landing.state.num_steps)
            return share

        return transition.on_landed(value, elsewhere=0.0), {}
