"""Score-optimal steps (Williams, Campbell, Doucet, Syed 2024, arXiv:2412.07877)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.fitted.base import Diffused, equal_parts, fitted

NODES = 64


@fitted("score_optimal")
def score_optimal(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """Equal ∫ √δ between the levels, where δ dσ² = σ'² E‖∇log p_σ'(x) − ∇log p_σ(x)‖² with x at the noisier level σ.

    This is the paper's corrector-optimised cost with its speed v = σ, and its algorithm 1 once, on a fine grid. The
    predictor-optimised cost needs second derivatives and is not better in its table 1. As there, the last positive
    level is σ_min. Cost: 190 evaluations for each latent. No free parameter.
    """
    nodes, diffused = reference_grid(denoiser, NODES)[:-1], Diffused(denoiser, start)
    lengths = []
    for sigma, sigma_next in pairwise(nodes):
        x = diffused.at(sigma)
        noisy = diffused.clean + sigma * diffused.noise  # what is visible of x
        score = (diffused.estimate(x, sigma) - noisy) / sigma**2
        score_next = (diffused.estimate(x, sigma_next) - noisy) / sigma_next**2
        lengths.append(sigma_next * np.sqrt(((score_next - score).astype(np.float64) ** 2).mean()))
    return equal_parts(nodes, np.array(lengths), num_steps)
