"""Random exact models: a seed makes a denoiser, for training and testing what should work for any model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from art_gym.common.messages import short
from art_gym.denoisers.base import SIGMA_MAX, SIGMA_MIN
from art_gym.denoisers.diagonal import DiagonalMixture

# Disjoint sets of seeds. Training takes as many as it wants.
TEST_SEEDS = range(100)
VALIDATION_SEEDS = range(100, 200)
TRAINING_SEEDS = range(1000, 1_000_000)

DIMENSIONS, FEW = (1, 96), 6  # half of the models have few dimensions
MODES = 1, 11
DATA_STD = 0.05, 4.0
WIDTHS = 0.02, 0.7  # of a mode, in units of the spread of the means
RANGED = 0.3  # share of the models with another noise range than EDM's
# Their range, relative to the data's standard deviation.
HIGHEST, LOWEST = (12.0, 400.0), (1e-3, 0.04)

Parts = tuple[np.ndarray, np.ndarray]  # (M, d) means and (M, d) variances, in any unit


def random_model(seed: int, kind: str | None = None) -> DiagonalMixture:
    """Make an exact denoiser from a seed. The same seed makes the same model.

    Args:
        seed: see `TRAINING_SEEDS`, `VALIDATION_SEEDS` and `TEST_SEEDS`.
        kind: isotropic, anisotropic, manifold, spectrum or tails. By default the seed chooses.

    Raises:
        ValueError: for an unknown kind or a negative seed.
    """
    if seed < 0 or (kind is not None and kind not in KINDS):
        raise ValueError(f"need a seed of at least 0 and a kind of {', '.join(KINDS)}, got {seed} and {short(kind)}")
    rng = np.random.default_rng([seed, 25])
    drawn = str(rng.choice(list(KINDS), p=list(SHARES)))  # drawn in any case, so that the kind changes nothing else
    means, variances = KINDS[kind or drawn](rng)  # (M, d) each
    weights = rng.dirichlet(np.full(len(means), 2.0)) + 0.02
    unit = DiagonalMixture(means, variances, weights).data_std
    std = log_uniform(rng, *DATA_STD)
    sigma_min, sigma_max = std * log_uniform(rng, *LOWEST), std * log_uniform(rng, *HIGHEST)
    if rng.random() > RANGED:
        sigma_min, sigma_max = SIGMA_MIN, SIGMA_MAX
    scale = std / unit
    return DiagonalMixture(means * scale, variances * scale**2, weights, sigma_min, sigma_max)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def isotropic(rng: np.random.Generator) -> Parts:
    """Modes of the same width along every axis, at random places."""
    count, dimension = _modes(rng), _dimension(rng)
    widths = [log_uniform(rng, *WIDTHS) for _ in range(count)] if rng.random() < 0.5 else log_uniform(rng, *WIDTHS)
    return rng.standard_normal((count, dimension)), np.broadcast_to(widths, (dimension, count)).T ** 2


def anisotropic(rng: np.random.Generator) -> Parts:
    """Modes with another width along each axis."""
    count, dimension = _modes(rng), _dimension(rng)
    widths = np.exp(rng.uniform(np.log(WIDTHS[0]), np.log(WIDTHS[1]), (count, dimension)))
    return rng.standard_normal((count, dimension)), widths**2


def manifold(rng: np.random.Generator) -> Parts:
    """Modes that are nearly flat along most axes."""
    count, dimension = _modes(rng), max(_dimension(rng), 2)
    flat = rng.random((count, dimension)) < rng.uniform(0.3, 0.95)
    thin = log_uniform(rng, 2e-3, 0.05)
    widths = np.where(flat, thin, np.exp(rng.uniform(np.log(0.1), 0, (count, dimension))))
    return rng.standard_normal((count, dimension)) * rng.uniform(0, 1.5), widths**2


def spectrum(rng: np.random.Generator) -> Parts:
    """Variances λ_i ∝ i^−α, as those of natural images. The means of several modes have the same spectrum."""
    count, dimension = round(log_uniform(rng, *MODES)), int(rng.integers(16, DIMENSIONS[1] + 1))
    variances = np.arange(1, dimension + 1) ** -rng.uniform(0.8, 3)  # (d,)
    between = rng.uniform(0, 1) if count > 1 else 0.0  # share of the variance that is between the modes
    means = np.sqrt(between * variances) * rng.standard_normal((count, dimension))
    within = (1 - between + 1e-3) * variances * np.exp(rng.uniform(-1, 1, (count, 1)))
    if rng.random() < 0.5:  # the same noise along every axis, as of a camera or of a kernel density
        within = within + between * variances.mean() * log_uniform(rng, 1e-3, 0.1)
    return means, within


def tails(rng: np.random.Generator) -> Parts:
    """A scale mixture: the same mean and shape with several widths, so heavy tails."""
    count, dimension = max(_modes(rng), 2), _dimension(rng)
    shape = np.exp(rng.uniform(-1, 1, dimension))
    widths = np.exp(rng.uniform(np.log(log_uniform(rng, 0.02, 0.3)), 0.7, (count, 1)))
    return np.zeros((count, dimension)), (widths * shape) ** 2


def _modes(rng: np.random.Generator) -> int:
    return int(rng.integers(MODES[0], MODES[1] + 1))


def _dimension(rng: np.random.Generator) -> int:
    if rng.random() < 0.5:
        return int(rng.integers(DIMENSIONS[0], FEW + 1))
    return round(log_uniform(rng, FEW, DIMENSIONS[1]))


KINDS: dict[str, Callable[[np.random.Generator], Parts]] = {
    kind.__name__: kind for kind in (isotropic, anisotropic, manifold, spectrum, tails)
}
SHARES = (0.25, 0.05, 0.05, 0.6, 0.05)  # of the kinds
