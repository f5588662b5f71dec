"""Linear, then quadratic in flow time."""

from __future__ import annotations

import numpy as np

from art_gym.schedules.grids.base import grid


@grid("linear_quadratic", shape=0.025, reaches_zero=True)
def linear_quadratic(u: np.ndarray, high: float, low: float, threshold: float) -> np.ndarray:
    """Flow time 1 − s, s = σ/(1 + σ), linear to a threshold for half of the steps, then quadratic (Movie Gen 2024)."""
    start, stop = 1 / (1 + high), 1 / (1 + low)  # flow times 1 − s
    slope = 2 * threshold  # of the linear half; the quadratic half starts with it
    rest = np.maximum(u - 0.5, 0)
    curve = slope * u + 4 * (1 - 2 * threshold) * rest**2  # 0 … 1
    time = start + (stop - start) * curve
    return (1 - time) / time
