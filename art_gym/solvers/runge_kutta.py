"""The classical Runge–Kutta method in σ."""

from __future__ import annotations

from art_gym.denoisers.base import Array
from art_gym.solvers.base import Denoise, Previous, per_sample, solver


@solver(order=4, calls_per_step=4)
def rk4(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """The classical Runge–Kutta step in σ."""
    width = per_sample(sigma_next - sigma, x)
    middle = (sigma + sigma_next) / 2

    def slope(at: Array, level: Array) -> Array:
        return (at - denoise(at, level)) / per_sample(level, x)

    k1 = (x - denoised) / per_sample(sigma, x)
    k2 = slope(x + width / 2 * k1, middle)
    k3 = slope(x + width / 2 * k2, middle)
    k4 = slope(x + width * k3, sigma_next)
    return x + width / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
