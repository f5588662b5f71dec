"""Exact models beyond `art_gym.tasks.random_models`, for training alone: what resembles images more.

Spectra in many dimensions, and trees: modes that split again and again, from coarse to fine, as the decisions that a
model of images takes at all noise levels.
"""

from __future__ import annotations

import math

import numpy as np

from art_gym.denoisers.base import SIGMA_MAX, SIGMA_MIN, Denoiser
from art_gym.denoisers.diagonal import DiagonalMixture
from art_gym.tasks.random_models import DATA_STD, HIGHEST, LOWEST, RANGED, log_uniform

WIDE = 96, 384  # dimensions of wide spectra
WIDE_MODES = 1, 6
TREE = 12, 128  # dimensions of trees
LEAVES = 64  # modes of a tree at most


class SharedMixture:
    """The mixture Σ_m w_m N(c_m, diag λ) of many modes with the same variances, by matrix products.

    Args:
        means: (M, d) centres.
        variances: (d,) positive variances.
        weights: (M,) positive weights, normalised here.
        noise_range: σ_min and σ_max.
    """

    def __init__(
        self, means: np.ndarray, variances: np.ndarray, weights: np.ndarray, noise_range: tuple[float, float]
    ) -> None:
        self.means, self.variances, self.weights = means, variances, weights / weights.sum()
        self.shape = (means.shape[1],)
        self.sigma_min, self.sigma_max = noise_range
        away = means - self.weights @ means
        self.data_std = float(math.sqrt((variances + self.weights @ away**2).mean()))

    def __call__(self, x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """(B, d) D(x, σ). All σ are taken to be the same."""
        noise = float(sigma[0]) ** 2
        total = self.variances + noise  # (d,)
        # Terms of x alone are the same for all modes. In float64, because the rest is a difference of large numbers.
        logits = np.log(self.weights) + (x.astype(np.float64) / total) @ self.means.T - self.means**2 @ (0.5 / total)
        share = np.exp(logits - logits.max(axis=1, keepdims=True))  # (B, M)
        share /= share.sum(axis=1, keepdims=True)
        denoised: np.ndarray = (self.variances * x + noise * (share @ self.means)) / total
        return denoised.astype(x.dtype)


def wide_model(seed: int) -> DiagonalMixture:
    """Power-law spectra as `art_gym.tasks.random_models.spectrum`, in more dimensions."""
    rng = np.random.default_rng([seed, 77])
    count, dimension = round(log_uniform(rng, *WIDE_MODES)), round(log_uniform(rng, *WIDE))
    variances = np.arange(1, dimension + 1) ** -rng.uniform(0.8, 3)  # (d,)
    between = rng.uniform(0, 1) if count > 1 else 0.0  # share of the variance that is between the modes
    means = np.sqrt(between * variances) * rng.standard_normal((count, dimension))
    within = (1 - between + 1e-3) * variances * np.exp(rng.uniform(-1, 1, (count, 1)))
    if rng.random() < 0.5:  # the same noise along every axis
        within = within + between * variances.mean() * log_uniform(rng, 1e-3, 0.1)
    weights = rng.dirichlet(np.full(count, 2.0)) + 0.02
    scale, (low, high) = _scaled(rng, DiagonalMixture(means, within, weights))
    return DiagonalMixture(scale * means, scale**2 * within, weights, low, high)


def tree_model(seed: int) -> SharedMixture:
    """Modes that split into 2 to 4 up to six times, each time closer together and, by chance, along finer axes."""
    rng = np.random.default_rng([seed, 78])
    dimension, depth, branches = round(log_uniform(rng, *TREE)), int(rng.integers(2, 7)), int(rng.integers(2, 5))
    depth = min(depth, int(math.log(LEAVES, branches) + 1e-9))
    axes = np.arange(1, dimension + 1)
    variances, decay, tilt = axes ** -rng.uniform(0, 3), log_uniform(rng, 0.25, 0.9), rng.uniform(0, 1)
    means = np.zeros((1, dimension))
    for level in range(depth):
        size = decay**level * np.sqrt(variances * axes ** (tilt * level))  # (d,)
        means = (means[:, None] + size * rng.standard_normal((len(means), branches, dimension))).reshape(-1, dimension)
    within = decay ** (2 * depth) * variances * axes ** (tilt * depth) * log_uniform(rng, 0.01, 1)
    if rng.random() < 0.5:
        within = within + means.var() * log_uniform(rng, 1e-4, 0.1)
    weights = rng.dirichlet(np.full(len(means), 2.0)) + 0.2 / len(means)
    scale, noise_range = _scaled(rng, SharedMixture(means, within, weights, (SIGMA_MIN, SIGMA_MAX)))
    return SharedMixture(scale * means, scale**2 * within, weights, noise_range)


def _scaled(rng: np.random.Generator, unit: Denoiser) -> tuple[float, tuple[float, float]]:
    """A factor for a model of any unit, and its noise range."""
    std = log_uniform(rng, *DATA_STD)
    noise_range = std * log_uniform(rng, *LOWEST), std * log_uniform(rng, *HIGHEST)
    return std / unit.data_std, noise_range if rng.random() < RANGED else (SIGMA_MIN, SIGMA_MAX)
