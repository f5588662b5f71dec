"""A solver for each latent, where an episode draws one."""

from __future__ import annotations

from array_api_compat import array_namespace

from art_gym.denoisers.base import Array
from art_gym.solvers.base import Denoise, Previous, per_sample, solver
from art_gym.solvers.dpmpp import dpmpp_2m


@solver(order=1, calls_per_step=1)
def drawn(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """DPM-Solver++(2M) for latents whose last element is positive, Euler for the others (`art_gym.tasks.families`)."""
    xp = array_namespace(x)
    last = per_sample(xp.reshape(x, (x.shape[0], -1))[:, -1], x)
    before = xp.where(last > 0, previous.denoised, denoised)  # without a change of D, 2M's step is Euler's
    return dpmpp_2m(denoise, x, denoised, sigma, sigma_next, Previous(before, previous.sigma))
