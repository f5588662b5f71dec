"""Quantiles of a Laplace distribution in log SNR."""

from __future__ import annotations

import math

import numpy as np

from art_gym.schedules.grids.base import grid


@grid("laplace", shape=0.5, reaches_zero=False)
def laplace(u: np.ndarray, high: float, low: float, scale: float) -> np.ndarray:
    """Equal quantiles of log SNR under a Laplace distribution of mean 0 and scale b (Hang et al. 2024: b = 0.5)."""

    def tail(sigma: float) -> float:  # signed log of twice the nearer tail's probability, 0 at the mean
        return 2 * math.log(sigma) / scale

    def cumulative(z: float) -> float:
        return 0.5 * math.exp(z) if z < 0 else 1 - 0.5 * math.exp(-z)

    p = cumulative(tail(high)) + u * (cumulative(tail(low)) - cumulative(tail(high)))
    # In float64 the upper tail rounds to 1 when scale is small. `Grid.levels` sets the ends exactly.
    p = np.clip(p, 1e-300, 1 - 1e-16)
    return np.exp(np.where(p < 0.5, np.log(2 * p), -np.log(2 * (1 - p))) * scale / 2)
