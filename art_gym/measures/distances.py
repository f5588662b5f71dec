"""Distances between two sets of samples: sliced Wasserstein and energy."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Array


def random_directions(dimension: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(d, P) unit directions, uniform on the sphere."""
    directions = rng.standard_normal((dimension, count))
    unit: np.ndarray = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    return unit


def sliced_wasserstein(first: Array, second: Array, directions: np.ndarray) -> np.ndarray:
    """Sliced 2-Wasserstein distance between equally large sets of samples (Bonneel et al. 2015).

    Args:
        first, second: (…, N, d) samples.
        directions: (d, P) unit directions. In one dimension, one direction is enough.

    Returns:
        (…): root of the mean, over directions and ranks, of the squared difference of sorted projections.
    """
    a = np.sort(first @ directions, axis=-2)  # (…, N, P)
    b = np.sort(second @ directions, axis=-2)
    distance: np.ndarray = np.sqrt(((a - b) ** 2).mean(axis=(-2, -1)))
    return distance


def energy_distance(first: np.ndarray, second: np.ndarray, within_second: float | None = None) -> float:
    """Squared energy distance 2 E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖ (Székely & Rizzo), unbiased in the two last terms.

    Args:
        first, second: (N, d) and (M, d) samples.
        within_second: the `mean_distance` within ``second``, if it is known.
    """
    within = mean_distance(second) if within_second is None else within_second
    return 2 * float(_distances(first, second).mean()) - mean_distance(first) - within


def mean_distance(points: np.ndarray) -> float:
    """E‖X−X′‖ of (N, d) points, over pairs of distinct points."""
    return float(_distances(points, points).sum() / (len(points) * (len(points) - 1)))


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) Euclidean distances."""
    a, b = first.astype(np.float64), second.astype(np.float64)  # float32 would lose the zeros on the diagonals
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)  # (N, M)
    square -= 2 * a @ b.T
    distances: np.ndarray = np.sqrt(np.maximum(square, 0, out=square), out=square)
    return distances
