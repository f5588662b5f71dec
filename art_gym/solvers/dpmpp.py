"""DPM-Solver++: multistep methods in log σ."""

from __future__ import annotations

from art_gym.denoisers.base import Array
from art_gym.solvers.base import Denoise, Previous, log, per_sample, solver


@solver(order=2, calls_per_step=1)
def dpmpp_2m(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2) in λ = −log σ. The first step is first order."""
    log_sigma = log(sigma)
    step = log_sigma - log(sigma_next)  # h = λ_next − λ
    last_step = log(previous.sigma) - log_sigma  # ∞ on a first step: the correction below vanishes
    weight = per_sample(step / (2 * last_step), x)  # 1 / 2r with r = last_step / step
    extrapolated = (1 + weight) * denoised - weight * previous.denoised
    ratio = per_sample(sigma_next / sigma, x)
    return ratio * x + (1 - ratio) * extrapolated
