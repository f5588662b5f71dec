"""A solver for each latent, where an episode draws one."""

from __future__ import annotations

from array_api_compat import array_namespace

from art_gym.denoisers.base import Array
from art_gym.solvers.base import Denoise, Previous, log, per_sample, solver


@solver(order=1, calls_per_step=1)
def drawn(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """DPM-Solver++(2M) for latents whose last element is positive, Euler for the others (`art_gym.tasks.families`)."""
    xp = array_namespace(x)
    log_sigma = log(sigma)
    weight = (log_sigma - log(sigma_next)) / (2 * (log(previous.sigma) - log_sigma))  # of 2M
    last = xp.reshape(x, (x.shape[0], -1))[:, -1]
    memory = per_sample(xp.where(last > 0, weight, 0 * weight), x)
    ratio = per_sample(sigma_next / sigma, x)
    return ratio * x + (1 - ratio) * (denoised + memory * (denoised - previous.denoised))
