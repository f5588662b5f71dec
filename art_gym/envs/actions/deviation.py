"""Deviations from a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.envs.actions.base import action_map
from art_gym.schedules.grids.base import make_grid


@action_map(deviation={})
@dataclass(frozen=True)
class DeviationMap:
    """A deviation from a base grid: log σ_next = log base_{k+1} + width · a. A step does not shift later steps.

    Attributes:
        base: name of a hand-made grid, with its published parameters.
        width: range of the deviation in log σ.
    """

    base: str = "arctan"
    width: float = 1.5

    def __call__(
        self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, num_steps: np.ndarray, denoiser: Denoiser
    ) -> np.ndarray:
        levels = np.empty(len(sigma))
        for budget in np.unique(num_steps):
            lanes = num_steps == budget
            levels[lanes] = make_grid(self.base, int(budget), denoiser)[step[lanes] + 1]
        return levels * np.exp(self.width * action)
