"""Euler in σ, which is DDIM."""

from __future__ import annotations

from art_gym.denoisers.base import Array
from art_gym.solvers.base import Denoise, Previous, per_sample, solver


@solver(order=1, calls_per_step=1)
def euler(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """Euler in σ, which is DDIM (Song et al. 2021): exact while D stays constant."""
    ratio = per_sample(sigma_next / sigma, x)
    return ratio * x + (1 - ratio) * denoised
