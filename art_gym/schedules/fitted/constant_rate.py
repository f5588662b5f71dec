"""Constant rate scheduling (Okada, Doi, Yoshihashi, Kataoka, Tanaka 2024, arXiv:2411.12188)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.schedules.closed_forms import equidistribute, norms
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.fitted.base import Diffused, fitted

NODES = 64


@fitted("constant_rate")
def constant_rate(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """Equal ∫ v between the levels, with v = E‖dD(x_σ, σ)/d log σ‖ along x_σ = x₀ + σε.

    This is the paper's measure by data prediction, with its exponent ξ = 1, down to 0. The other two measure by noise
    prediction and by Fréchet distance, the last of which needs a network for features. Cost: 128 evaluations for each
    latent. Free parameters: the measure and ξ.
    """
    nodes, diffused = reference_grid(denoiser, NODES)[:-1], Diffused(denoiser, start)
    estimates = [diffused.estimate(diffused.at(sigma), sigma) for sigma in nodes]  # M of (B, *visible shape)
    rates = [
        norms((later - earlier).astype(np.float64)).mean() / np.log(sigma / sigma_next)
        for (earlier, later), (sigma, sigma_next) in zip(pairwise(estimates), pairwise(nodes), strict=True)
    ]
    return equidistribute(nodes, np.array([*rates, rates[-1]]), num_steps)
