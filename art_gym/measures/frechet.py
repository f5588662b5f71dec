"""Fréchet distance, precision and recall between two sets of features."""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 3  # k of precision and recall
Gaussian = tuple[np.ndarray, np.ndarray]  # mean and covariance


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017).

    ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^{1/2}). It is biased upwards by about (features)/N, so compare at equal N only.

    Args:
        first, second: (N, f) and (M, f) features, N and M well above f.
    """
    return gaussian_distance(gaussian_of(first), gaussian_of(second))


def gaussian_of(features: np.ndarray) -> Gaussian:
    """Mean (f,) and covariance (f, f) of (N, f) features; the covariance of a single one is 0."""
    features = np.asarray(features, np.float64)
    size = features.shape[1]
    covariance = np.atleast_2d(np.cov(features, rowvar=False)) if len(features) > 1 else np.zeros((size, size))
    return features.mean(axis=0), covariance


def gaussian_distance(first: Gaussian, second: Gaussian) -> float:
    """The distance of `frechet_distance`, for Gaussians that are known."""
    (mean, one), (other, two) = first, second
    shift = mean - other
    eigenvalues = np.linalg.eigvals(one @ two)  # real and ≥ 0, as both factors are positive
    return float(shift @ shift + np.trace(one) + np.trace(two) - 2 * np.sqrt(np.maximum(eigenvalues.real, 0)).sum())


def precision_recall(samples: np.ndarray, data: np.ndarray, radii: np.ndarray | None = None) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019): the share of each set in the other's k-nearest balls.

    Args:
        samples, data: (N, f) and (M, f) features, N and M above k = `NEIGHBOURS`. Repeated points have empty balls.
        radii: the `ball_radii` of ``data``, if they are known.
    """
    import torch  # computes distances between thousands of points in a tenth of scipy's time

    ours, theirs = (torch.from_numpy(np.asarray(features, np.float64)) for features in (samples, data))
    apart = torch.cdist(ours, theirs).numpy()  # (N, M)
    precision = (apart <= (ball_radii(data) if radii is None else radii)).any(axis=1).mean()
    recall = (apart <= ball_radii(samples)[:, None]).any(axis=0).mean()
    return float(precision), float(recall)


def ball_radii(points: np.ndarray) -> np.ndarray:
    """Return (N,) distances from (N, f) points to their k-th nearest neighbour, k = `NEIGHBOURS`."""
    import torch

    given = torch.from_numpy(np.asarray(points, np.float64))
    nearest = torch.cdist(given, given).topk(NEIGHBOURS + 1, largest=False).values  # (N, k+1)
    return nearest[:, -1].numpy()  # the first is the point itself
