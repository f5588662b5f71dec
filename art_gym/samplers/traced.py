"""The coefficients of any linear sampler, found by running it once on symbols."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from art_gym.denoisers.base import Array
from art_gym.samplers.coefficients import Coefficients
from art_gym.solvers.base import Denoise

Method = Callable[[Denoise, np.ndarray, Array], Array]  # (denoise, (K+1,) levels, x) to samples
SAME = 1e-9  # relative


def traced(method: Method, levels: np.ndarray, name: str = "the method") -> Coefficients:
    """Return the coefficients of a sampler that is linear in its first latents and its denoised estimates.

    The first latents and each denoised estimate are unit vectors here, so every latent that the method makes holds its
    own coefficients. Where the method calls the denoiser at latents that it corrects later, as UniPC does, the
    coefficients are those of the latents that are called.

    Args:
        method: the sampler, which calls the denoiser once a step.
        levels: (K+1,) decreasing levels with a trailing 0.
        name: name of the method, for messages.

    Raises:
        ValueError: for a method that makes more than one call a step, or that is not exact for a constant denoiser.
    """
    count = len(levels) - 1
    called: list[np.ndarray] = []  # latents of each call, (K+1,)
    told: list[float] = []

    def denoise(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        if len(called) == count:
            raise ValueError(f"{name} makes more than one denoiser call a step, and a sampler makes one")
        called.append(x[0])
        told.append(float(sigma[0]))
        return np.eye(count + 1)[None, len(called)]  # (1, K+1)

    last = method(denoise, levels, np.eye(count + 1)[None, 0])[0]
    points = np.stack([*called, last])  # (K+1, K+1): the first column holds σ_k / σ_0
    sigmas = levels[0] * points[:, 0]
    inexact = f"{name} is not exact where the denoiser is constant, so it is no sampler of this form"
    if not (np.diff(sigmas) < 0).all() or abs(sigmas[-1]) > SAME * levels[0]:
        raise ValueError(inexact)
    sigmas[-1] = 0.0
    weights = np.zeros((count, max(count - 1, 1)))
    for k in range(count):
        ratio = sigmas[k + 1] / sigmas[k]
        mixed = ((points[k + 1] - ratio * points[k]) / (1 - ratio))[1:]  # coefficients of D_0, …, D_{K−1}
        if abs(mixed.sum() - 1) > 1e-6:
            raise ValueError(inexact)
        # Differences D_{k−i} − D_{k−i−1}: their weights are the negative sums of what the earlier estimates have.
        weights[k, :k] = -np.cumsum(mixed[:k])[::-1]
    memory = 1 + max((i for i in range(weights.shape[1]) if np.abs(weights[:, i]).max() > SAME), default=0)
    return Coefficients(sigmas, np.array(told) / sigmas[:-1], weights[:, :memory])
