"""Equal steps in a power of σ."""

from __future__ import annotations

import numpy as np

from art_gym.schedules.grids.base import grid


@grid("quadratic", shape=2.0, reaches_zero=True)  # DDIM's spacing (Song et al. 2021)
@grid("edm", shape=7.0, reaches_zero=False)
def edm(u: np.ndarray, high: float, low: float, rho: float) -> np.ndarray:
    """Equal steps in σ^{1/ρ} (Karras et al. 2022, equation 5, where ρ = 7)."""
    levels: np.ndarray = (high ** (1 / rho) + u * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return levels
