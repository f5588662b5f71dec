"""Heun's method in σ."""

from __future__ import annotations

from art_gym.denoisers.base import Array
from art_gym.solvers.base import Denoise, Previous, per_sample, solver


@solver(order=2, calls_per_step=2)
def heun(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """Heun's second-order step in σ (Karras et al. 2022, algorithm 1)."""
    slope = (x - denoised) / per_sample(sigma, x)
    predicted = x + per_sample(sigma_next - sigma, x) * slope
    slope_next = (predicted - denoise(predicted, sigma_next)) / per_sample(sigma_next, x)
    return x + per_sample(sigma_next - sigma, x) * (slope + slope_next) / 2
