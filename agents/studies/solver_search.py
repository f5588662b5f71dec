"""Differentiable Solver Search: levels and weights by gradients of an error along the whole path.

Wang et al., ICML 2025, arXiv:2505.21114. They learn the steps in flow time t = σ/(1 + σ), and in each step a weight for
every earlier velocity, with a sum of 1. With free levels these are the samplers of `art_gym.agents.studies.peers.bns`:
a velocity is a sum of the first latents, in the same amount in every step, and of denoised estimates. So velocities can
be weighed exactly as estimates can. What is left of the paper is its loss, and that is what differs from `bns`.

The published code is followed as to the loss. Not as to a start from equal steps of Euler, the fine path's latents at
the nearest of its levels, and a single earlier velocity in the last two of up to six steps. Here these are as in our
other gradient methods, and the fine path is interpolated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from array_api_compat import array_namespace

from art_gym.denoisers.base import Array, Denoiser
from art_gym.denoisers.devices import run_there
from art_gym.samplers.coefficients import Coefficients, latents
from art_gym.samplers.freedom import MOST_MEMORY, Freedom
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.fine import reference_grid
from art_gym.search.spaces import Samplers
from art_gym.solvers.loop import path

from .peers import Learning

if TYPE_CHECKING:
    import torch

END, BEND = 1000.0, 0.001  # factor on the Huber loss at the end, and where that loss becomes linear


def fine_paths(denoiser: Denoiser, start: np.ndarray) -> np.ndarray:
    """Return the (N+1, B, *shape) latents of the precise solution at each level of `reference_grid`."""

    def run(x: Array) -> Array:
        return array_namespace(x).stack([x, *path(denoiser, reference_grid(denoiser), x, "rk4")])

    paths: np.ndarray = run_there(run, start, denoiser)
    return paths


def solver_search(denoiser: Denoiser, levels: np.ndarray, how: Learning, paths: np.ndarray) -> Coefficients:
    """Adam on levels and on a weight for every earlier estimate, from 2M on the given levels.

    The loss is the sum over steps of the squared distance to the fine path at the step's own level, and a Huber loss
    at the end, in flow coordinates.

    Args:
        denoiser: what it samples. Torch must be able to differentiate through it.
        levels: (K+1,) of a grid to begin with.
        how: the noises, and how long to learn.
        paths: (N+1, B, *shape) of `fine_paths` of these noises.

    Returns:
        The sampler after the last update.
    """
    import torch  # not all studies need it

    num_steps = len(levels) - 1
    space = Samplers(denoiser, num_steps, Freedom(min(num_steps, MOST_MEMORY), False))
    first = space.freedom.numbers(Sampler.of(levels, "dpmpp_2m").coefficients(), denoiser)
    numbers = torch.tensor(first, dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.Adam([numbers], lr=how.rate)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=how.updates)
    rng = np.random.default_rng([how.seed, num_steps])
    fine = torch.tensor(reference_grid(denoiser).copy(), dtype=torch.float32)
    for _ in range(how.updates):
        rows = rng.integers(len(how.start), size=how.batch)
        plan = space.freedom.coefficients(numbers, num_steps, denoiser)
        loss = path_loss(denoiser, plan, torch.from_numpy(how.start[rows]), fine, torch.from_numpy(paths[:, rows]))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        decay.step()
    return space.plan(numbers.detach().double().numpy())


def path_loss(
    denoiser: Denoiser, plan: Coefficients, x: torch.Tensor, fine: torch.Tensor, paths: torch.Tensor
) -> torch.Tensor:
    """The loss of a sampler from (B, *shape) latents, whose (N+1, B, *shape) fine paths have these (N+1,) levels.

    Flow coordinates are those of data of standard deviation 1: x/(s + σ), with s the data's.
    """
    from torch.nn.functional import huber_loss

    loss = x.new_zeros(())
    for sigma, after in zip(plan.sigmas[1:], latents(denoiser, plan, x), strict=True):
        aim = between(fine, paths, sigma)
        scale = denoiser.data_std + sigma
        loss = loss + (((after - aim) / scale) ** 2).mean()
    return loss + END * huber_loss(after / scale, aim / scale, delta=BEND)


def between(fine: torch.Tensor, paths: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The (B, *shape) latents of a fine path at a level, linear in σ between two of its levels."""
    import torch

    node = int((fine[1:-1] > sigma).sum())  # the last level above σ
    share = (fine[node] - sigma) / (fine[node] - fine[node + 1])
    return torch.lerp(paths[node], paths[node + 1], share)
