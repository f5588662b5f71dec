"""Equal steps in log σ."""

from __future__ import annotations

import numpy as np

from art_gym.schedules.grids.base import grid


@grid("log_snr", shape=None, reaches_zero=False)
def log_snr(u: np.ndarray, high: float, low: float, _: float) -> np.ndarray:
    """Equal steps in log σ = −½ log SNR: geometric, as in DPM-Solver."""
    return high * (low / high) ** u
