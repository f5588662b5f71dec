"""Equal steps in an arctangent of σ."""

from __future__ import annotations

import math

import numpy as np

from art_gym.schedules.grids.base import grid


# ᾱ = cos²(π/2 · t) is σ = tan(π/2 · t): equal steps in arctan σ (iDDPM, Nichol & Dhariwal 2021)
@grid("cosine", shape=1.0, reaches_zero=True)
@grid("arctan", shape="data_std", reaches_zero=True)
def arctan(u: np.ndarray, high: float, low: float, scale: float) -> np.ndarray:
    """Equal steps in arctan(σ/s): the optimum for Euler on N(0, s²)."""
    start, stop = math.atan(high / scale), math.atan(low / scale)
    return scale * np.tan(start + u * (stop - start))
