"""The numbers of a sampler as arrays, and the loop that samples with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from art_gym.denoisers.base import Array, Walk
from art_gym.denoisers.devices import run_there
from art_gym.solvers.base import Denoise, per_sample


class Coefficients(NamedTuple):
    """The numbers of a sampler. Every array may have a last axis B, which gives each sample its own numbers.

    Attributes:
        sigmas: (K+1,) decreasing levels with a trailing 0.
        told: (K,) factors c. The denoiser is called at c_k σ_k.
        weights: (K, M). The entry (k, i) weights D_{k−i} − D_{k−i−1}. It is unused for i ≥ k, where there is no memory.
    """

    sigmas: Array
    told: Array
    weights: Array

    def like(self, x: Array) -> Coefficients:
        """Return the same numbers in the library, precision and device of x. Gradients of tensors pass through."""
        return Coefficients(*(_like(array, x) for array in self))


def follow(denoise: Denoise, coefficients: Coefficients, x: Array) -> Array:
    """Sample with one denoiser call a step (`art_gym.samplers.sampler.Sampler` has the formula).

    Args:
        denoise: D(x, σ). One with a ``whole_run`` makes all calls in one go.
        coefficients: numbers of the sampler.
        x: (B, *shape) latents at the first level.

    Returns:
        (B, *shape) samples at level 0. Where D has a ``device``, latents of numpy are sampled on it.

    Raises:
        ValueError: for numbers of each sample, if D depends on the number of the step.
    """
    shared = all(array.ndim == axes for array, axes in zip(coefficients, (1, 1, 2), strict=True))
    if getattr(denoise, "whole", False) and not shared:
        raise ValueError("a whole run has one sampler for all of its samples: make a run for each sampler")
    run = partial(_follow, denoise, coefficients)
    if shared and runs_whole(denoise):
        sigmas, told = (np.asarray(array, np.float64) for array in coefficients[:2])
        run = partial(denoise.whole_run, partial(walk, coefficients), sigmas, told * sigmas[:-1])  # type: ignore[attr-defined]
    return run_there(run, x, denoise)


def runs_whole(denoise: Denoise) -> bool:
    """Whether D can make all calls of a run in one go."""
    return getattr(denoise, "whole_run", None) is not None


def latents(denoise: Denoise, coefficients: Coefficients, x: Array) -> Iterator[Array]:
    """As `follow`, with one call of D after the other, but yield the latents after each of the K steps."""
    steps, answer = walk(coefficients, x), None
    while True:
        try:
            asked = steps.send(answer)  # type: ignore[arg-type] # a generator begins with None
        except StopIteration as end:
            yield end.value
            return
        if answer is not None:
            yield asked[0]
        answer = asked[0], denoise(*asked)


def _follow(denoise: Denoise, coefficients: Coefficients, x: Array) -> Array:
    *_, last = latents(denoise, coefficients, x)
    return last


def walk(coefficients: Coefficients, x: Array) -> Walk:
    """Sample from (B, *shape) latents at the first level, where the caller calls D."""
    sigmas, told, weights = coefficients.like(x)
    xp, count = array_namespace(x), x.shape[0]
    memory: list[Array] = []  # denoised estimates, the latest first
    for k in range(told.shape[0]):
        x, denoised = yield x, xp.broadcast_to(told[k] * sigmas[k], (count,))
        memory = [denoised, *memory][: weights.shape[1] + 1]
        mixed = mix(memory, [_per_sample(weight, x) for weight in weights[k]])
        ratio = _per_sample(sigmas[k + 1] / sigmas[k], x)
        x = ratio * x + (1 - ratio) * mixed
    return x


def mix(memory: Sequence[Array], weights: Iterable[Any]) -> Array:
    """The estimate that a step goes to, D̃ = D_k + Σ_i w_i (D_{k−i} − D_{k−i−1}), as far as there is a memory.

    Args:
        memory: denoised estimates, the latest first.
        weights: numbers, or arrays that broadcast with the estimates.
    """
    mixed = memory[0]
    for weight, newer, older in zip(weights, memory, memory[1:], strict=False):
        mixed = mixed + weight * (newer - older)
    return mixed


def _per_sample(number: Array, x: Array) -> Array:
    """Give a number, or (B,) numbers, the axes of x."""
    return per_sample(number, x) if number.ndim else number


def _like(array: Any, x: Array) -> Array:
    if hasattr(array, "to"):  # torch.asarray warns about tensors that require gradients
        return array.to(x)
    return array_namespace(x).asarray(array, dtype=x.dtype, device=x.device)
