"""Quantiles of a Beta distribution in log σ."""

from __future__ import annotations

import numpy as np
from scipy import special

from art_gym.schedules.grids.base import grid
from art_gym.schedules.grids.log_snr import log_snr


@grid("beta", shape=0.6, reaches_zero=False)
def beta(u: np.ndarray, high: float, low: float, concentration: float) -> np.ndarray:
    """Levels of log σ at equal quantiles of Beta(α, α), dense at both ends for α < 1 (Lee et al. 2024: α = 0.6)."""
    return log_snr(special.betaincinv(concentration, concentration, u), high, low, 0)
