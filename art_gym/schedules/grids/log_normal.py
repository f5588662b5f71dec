"""Quantiles of a normal distribution in log σ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from art_gym.denoisers.base import Denoiser
from art_gym.schedules.grids.base import GRIDS


def log_normal(num_steps: int, sigma_max: float, mean: float, std: float) -> np.ndarray:
    """Levels after σ_max at equal quantiles of a normal in log σ (EDM trains with mean −1.2, std 1.2)."""
    quantiles = special.ndtri(1 - np.arange(1, num_steps) / num_steps)  # (K−1,), falling
    inner = np.exp(mean + std * quantiles)
    return np.concatenate([[sigma_max], inner, [0.0]])


@dataclass(frozen=True)
class LogNormalGrid:
    """The log-normal family. Its two parameters are exp(mean) and std instead of last level and shape."""

    name: str = "log_normal"

    def published(self, denoiser: Denoiser) -> tuple[float, float]:
        """The distribution of σ that EDM trains with (Karras et al. 2022, table 1)."""
        return math.exp(-1.2), 1.2

    def levels(self, num_steps: int, sigma_max: float, centre: float, std: float) -> np.ndarray:
        """Return the (K+1,) levels. Quantiles above σ_max are lowered below it, so that the grid decreases."""
        levels = log_normal(num_steps, sigma_max, math.log(centre), std)
        ceiling = sigma_max * 0.999 ** np.arange(num_steps)
        levels[:num_steps] = np.minimum(levels[:num_steps], ceiling)
        return levels


GRIDS.add(LogNormalGrid.name, LogNormalGrid())
