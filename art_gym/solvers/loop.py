"""The bare sampling loop: a grid, a solver, a denoiser. Everything else is measured against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from array_api_compat import array_namespace, is_torch_array

from art_gym.denoisers.base import Array
from art_gym.denoisers.devices import run_there
from art_gym.solvers.base import Denoise, Previous, Solver, get_solver, land


def integrate(denoise: Denoise, sigmas: Sequence[float] | Array, x: Array, solver: str | Solver) -> Array:
    """Follow the probability-flow ODE along a grid.

    Args:
        denoise: D(x, σ).
        sigmas: (K+1,) decreasing levels with a trailing 0, or (K+1, B) for one grid per sample. A torch tensor keeps
            gradients.
        x: (B, *shape) latents at the first level.
        solver: name or object.

    Returns:
        (B, *shape): the samples at level 0. Where D has a ``device``, latents of numpy are sampled on it.
    """

    def run(x: Array) -> Array:
        *_, last = path(denoise, sigmas, x, solver)
        return last

    return run_there(run, x, denoise)


def path(denoise: Denoise, sigmas: Sequence[float] | Array, x: Array, solver: str | Solver) -> Iterator[Array]:
    """As `integrate`, but yield the latents after each of the K steps. The last are at level 0."""
    solver = get_solver(solver)
    xp = array_namespace(x)
    # (K+1,) or (K+1, B). torch.asarray warns about tensors that require gradients.
    grid = sigmas.to(x) if is_torch_array(sigmas) else xp.asarray(sigmas, dtype=x.dtype, device=x.device)
    levels = [xp.broadcast_to(grid[k], (x.shape[0],)) for k in range(grid.shape[0] - 1)]  # K of (B,)
    previous = Previous(xp.zeros_like(x), xp.full_like(levels[0], xp.inf))
    for sigma, sigma_next in pairwise(levels):
        denoised = denoise(x, sigma)
        x = solver.step(denoise, x, denoised, sigma, sigma_next, previous)
        previous = Previous(denoised, sigma)
        yield x
    yield land(denoise(x, levels[-1]))
