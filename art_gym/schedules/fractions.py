"""Unconstrained coordinates of a grid: the share of the remaining log-noise range that each step covers, as a logit."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from art_gym.denoisers.base import Array, Denoiser

LIMIT = 8.0  # of a logit; beyond it a step covers all or nothing


def levels_from_logits(logits: Array, denoiser: Denoiser) -> Array:
    """Return (K+1,) levels from (K−1,) logits, or (K+1, B) from (K−1, B), numpy or torch.

    Step k covers the fraction sigmoid(logit(1/m) + z_k) of the remaining log(σ/σ_min), with m = K − k steps to go. So
    any logits give a grid that decreases from σ_max to above σ_min, with a last step to 0. Logits of 0 give equal steps
    in log σ.
    """
    xp = array_namespace(logits)
    ahead = xp.asarray(np.arange(logits.shape[0], 0, -1), dtype=logits.dtype)  # m − 1
    odds = xp.exp(logits) / xp.reshape(ahead, (-1,) + (1,) * (logits.ndim - 1))
    kept = xp.exp(-xp.cumulative_sum(xp.log1p(odds), axis=0))  # remaining share of log(σ_max/σ_min)
    inner = denoiser.sigma_min * xp.exp(float(np.log(denoiser.sigma_max / denoiser.sigma_min)) * kept)
    first = xp.full((1, *logits.shape[1:]), denoiser.sigma_max, dtype=logits.dtype)
    return xp.concat([first, inner, 0 * first])


def logits_from_levels(levels: np.ndarray, denoiser: Denoiser) -> np.ndarray:
    """Return (K−1,) logits of (K+1,) levels. Levels at or below σ_min are raised to just above it."""
    inner = np.maximum(levels[1:-1], denoiser.sigma_min * 1.02 ** np.arange(len(levels) - 2, 0, -1))
    left = np.log(np.concatenate([[denoiser.sigma_max], inner]) / denoiser.sigma_min)  # (K,)
    ahead = np.arange(len(inner), 0, -1)
    return np.log((left[:-1] / left[1:] - 1) * ahead)
