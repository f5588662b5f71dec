"""Equal steps in σ."""

from __future__ import annotations

import numpy as np

from art_gym.schedules.grids.base import grid


@grid("uniform", shape=None, reaches_zero=True)
def uniform(u: np.ndarray, high: float, low: float, _: float) -> np.ndarray:
    """Equal steps in σ."""
    return high + u * (low - high)
