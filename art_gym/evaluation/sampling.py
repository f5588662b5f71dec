"""`sample`: draw samples with a schedule, a sampler or a policy."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Checked, Denoiser, check_levels
from art_gym.denoisers.checks import check_call_once
from art_gym.denoisers.devices import run_there
from art_gym.evaluation.policies import AdaptivePolicy, follow
from art_gym.samplers.plans import Plan, draw, levels_of
from art_gym.samplers.sampler import Sampler, check_told
from art_gym.solvers.base import Solver
from art_gym.tasks.registry import resolve


class Sampled(NamedTuple):
    """(B, *shape) samples, and the (B, K+1) levels of each sample."""

    samples: np.ndarray
    sigmas: np.ndarray


def sample(
    denoiser: str | Denoiser,
    schedule: Plan | AdaptivePolicy,
    noise: np.ndarray,
    solver: str | Solver = "dpmpp_2m",
) -> Sampled:
    """Draw samples with a schedule, a sampler or a policy. No callback is needed.

    Args:
        denoiser: D(x, σ), or a task's name. The first use of an object makes two more calls, to check it.
        schedule: a Schedule, (K+1,) levels, a `Sampler`, or an `AdaptivePolicy`. A policy steers populations of its
            configured size. That many samples in a row share a grid.
        noise: (B, *shape) standard normal noise.
        solver: name or object. A sampler does without it.

    Raises:
        ValueError: for an invalid denoiser, noise of another shape, invalid levels or levels outside the denoiser's
            noise range, a B that is no multiple of the population, or values of D that are not finite. For the last
            the message names σ.
    """
    denoiser, noise = resolve(denoiser), np.asarray(noise, np.float32)
    if noise.shape[1:] != tuple(denoiser.shape):
        raise ValueError(f"expected noise of shape (B, {', '.join(map(str, denoiser.shape))}), got {noise.shape}")
    if not np.isfinite(noise).all():
        raise ValueError("the noise must be finite, got NaN or infinity in it")
    if not isinstance(schedule, AdaptivePolicy):  # for a policy the noise bank checks the denoiser
        levels, name = levels_of(schedule), type(denoiser).__name__
        check_call_once(denoiser)
        check_levels(levels, denoiser.sigma_min, denoiser.sigma_max, name)
        if isinstance(schedule, Sampler):
            check_told(schedule, denoiser, name)
        start = np.float32(levels[0]) * noise
        samples = run_there(lambda x: draw(Checked(denoiser), schedule, x, solver), start, denoiser)
        return Sampled(samples, np.broadcast_to(levels, (len(noise), len(levels))))
    population = schedule.config.population
    if len(noise) % population:
        raise ValueError(
            f"{len(noise)} samples cannot be divided into populations of {population}: give noise for a multiple of it"
        )
    # Not the training reward, which may need data or a decoder that this denoiser lacks.
    core = replace(schedule.config, task=denoiser, solver=solver, reward="log_ratio").make_core()
    lanes = len(noise) // population
    start = (np.float32(denoiser.sigma_max) * noise).reshape(lanes, population, *denoiser.shape)
    rows = np.zeros((lanes, population), np.int64)  # unused: the noise comes from no bank
    state = core.denoise(core.begin(start, np.full(lanes, schedule.num_steps), rows))
    state = follow(core, schedule.policy, state, schedule.num_steps)
    levels = np.concatenate([state.grid[:, : schedule.num_steps], np.zeros((lanes, 1))], axis=1)
    return Sampled(state.x.reshape(noise.shape), np.repeat(levels, population, axis=0))
