"""The default map: the share of the remaining log-noise range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.envs.actions.base import action_map


@action_map(fraction={})
@dataclass(frozen=True)
class FractionMap:
    """The fraction of the remaining log-noise range that this step covers.

    fraction = sigmoid(logit(1/m) + sharpness · a) with m steps left. a = 0 at every step gives equal steps in log σ.
    The last of these would reach σ_min, but it lands on 0.
    """

    sharpness: float = 3.0

    def __call__(
        self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, num_steps: np.ndarray, denoiser: Denoiser
    ) -> np.ndarray:
        odds = np.exp(self.sharpness * action)
        fraction = odds / (num_steps - step - 1 + odds)  # logit(1/m) = −log(m − 1)
        proposed: np.ndarray = sigma * (denoiser.sigma_min / sigma) ** fraction
        return proposed

    def action(
        self,
        sigma_next: np.ndarray,
        sigma: np.ndarray,
        step: np.ndarray,
        num_steps: np.ndarray,
        denoiser: Denoiser,
    ) -> np.ndarray:
        """The (E,) actions that lead to these levels. They may lie outside [−1, 1]. A last step has none."""
        share = np.log(sigma / sigma_next) / np.log(sigma / denoiser.sigma_min)
        share = np.clip(share, 1e-9, 1 - 1e-9)
        actions: np.ndarray = np.log(share / (1 - share) * np.maximum(num_steps - step - 1, 1)) / self.sharpness
        return actions
