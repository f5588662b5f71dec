"""Equal steps in the time of a sigmoid schedule."""

from __future__ import annotations

import numpy as np
from scipy import special

from art_gym.schedules.grids.base import grid


@grid("sigmoid", shape=1.0, reaches_zero=True)
def sigmoid(u: np.ndarray, high: float, low: float, temperature: float) -> np.ndarray:
    """Equal steps in the time of Jabri et al. 2022, where ᾱ falls as a sigmoid over (−3/τ, 3/τ); σ² = (1 − ᾱ)/ᾱ."""
    edge = special.expit(3 / temperature)

    def logit_time(sigma: float) -> float:
        signal = 1 / (1 + sigma**2)  # ᾱ
        argument: float = special.logit(edge - signal * (2 * edge - 1))
        return argument

    time = logit_time(high) + u * (logit_time(low) - logit_time(high))
    noise = 1 - (edge - special.expit(time)) / (2 * edge - 1)  # 1 − ᾱ
    levels: np.ndarray = np.sqrt(np.maximum(noise, 0) / (1 - noise))
    return levels
