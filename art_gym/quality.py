"""Measures of a set of samples: endpoint error on the same noise, and distances between distributions."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Array, Denoiser

NEIGHBOURS = 3  # k of precision and recall


def endpoint_error(samples: np.ndarray, endpoints: np.ndarray, batch_axes: int = 1) -> np.ndarray:
    """err_i of DESIGN §3: root-mean-square distance, over a latent's elements, to the precise endpoint of its noise.

    Args:
        samples, endpoints: (…batch, *shape).
        batch_axes: how many leading axes are batch.

    Returns:
        (…batch): one error a latent, in the units of the data.
    """
    difference = (samples - endpoints).reshape(*samples.shape[:batch_axes], -1)
    return np.sqrt(np.einsum("...i,...i->...", difference, difference) / difference.shape[-1])


def image_error(denoiser: Denoiser, samples: np.ndarray, endpoints: np.ndarray, batch_axes: int = 1) -> np.ndarray:
    """As `endpoint_error`, between the images that the denoiser's ``decode`` makes of clean latents.

    Raises:
        ValueError: if the denoiser has no decoder.
    """
    decode = getattr(denoiser, "decode", None)
    if decode is None:
        raise ValueError(
            f"{type(denoiser).__name__} has no decoder, so that there is no error in image space: load a pipeline with "
            f"a VAE, pass decoder=..., or choose reward='log_ratio'"
        )
    batch = samples.shape[:batch_axes]
    images = [decode(x.reshape(-1, *x.shape[batch_axes:])) for x in (samples, endpoints)]
    return endpoint_error(*images).reshape(batch)


def random_directions(dimension: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(d, P) unit directions, uniform on the sphere."""
    directions = rng.standard_normal((dimension, count))
    return (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)


def sliced_wasserstein(first: Array, second: Array, directions: np.ndarray) -> np.ndarray:
    """Sliced 2-Wasserstein distance of equally many samples (Bonneel et al. 2015).

    Args:
        first, second: (…, N, d) samples.
        directions: (d, P) unit directions; one direction does in one dimension.

    Returns:
        (…): root of the mean, over directions and ranks, of the squared difference of sorted projections.
    """
    a = np.sort(first @ directions, axis=-2)  # (…, N, P)
    b = np.sort(second @ directions, axis=-2)
    return np.sqrt(((a - b) ** 2).mean(axis=(-2, -1)))


def energy_distance(first: np.ndarray, second: np.ndarray, within_second: float | None = None) -> float:
    """Squared energy distance 2 E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖ (Székely & Rizzo), unbiased in the two last terms.

    Args:
        first, second: (N, d) and (M, d) samples.
        within_second: the `mean_distance` within ``second``, where it is known.
    """
    within = mean_distance(second) if within_second is None else within_second
    return 2 * float(_distances(first, second).mean()) - mean_distance(first) - within


def mean_distance(points: np.ndarray) -> float:
    """E‖X−X′‖ of (N, d) points, over the pairs of different ones."""
    return float(_distances(points, points).sum() / (len(points) * (len(points) - 1)))


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) Euclidean distances."""
    a, b = first.astype(np.float64), second.astype(np.float64)  # float32 would lose the zeros on the diagonals
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)  # (N, M)
    square -= 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0, out=square), out=square)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017).

    ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^{1/2}). It is biased upwards by about (features)/N: compare at equal N only.

    Args:
        first, second: (N, f) and (M, f) features, N and M well above f.
    """
    first, second = (np.asarray(features, np.float64) for features in (first, second))
    shift = first.mean(axis=0) - second.mean(axis=0)
    one, two = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (first, second))
    eigenvalues = np.linalg.eigvals(one @ two)  # of a product of two positive matrices: real and not negative
    return float(shift @ shift + np.trace(one) + np.trace(two) - 2 * np.sqrt(np.maximum(eigenvalues.real, 0)).sum())


def precision_recall(samples: np.ndarray, data: np.ndarray, radii: np.ndarray | None = None) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019): shares that lie in the other set's k-nearest balls.

    Args:
        samples, data: (N, f) and (M, f) features, N and M above k, `NEIGHBOURS`. Repeated points have empty balls.
        radii: the `ball_radii` of ``data``, where they are known.
    """
    import torch  # whose distances of thousands of points take a tenth of scipy's time

    ours, theirs = (torch.from_numpy(np.asarray(features, np.float64)) for features in (samples, data))
    apart = torch.cdist(ours, theirs).numpy()  # (N, M)
    precision = (apart <= (ball_radii(data) if radii is None else radii)).any(axis=1).mean()
    recall = (apart <= ball_radii(samples)[:, None]).any(axis=0).mean()
    return float(precision), float(recall)


def ball_radii(points: np.ndarray) -> np.ndarray:
    """(N,) distances of (N, f) points to the k-th nearest other one, k = `NEIGHBOURS`."""
    import torch

    given = torch.from_numpy(np.asarray(points, np.float64))
    nearest = torch.cdist(given, given).topk(NEIGHBOURS + 1, largest=False).values  # (N, k+1)
    return nearest[:, -1].numpy()  # the first is the point itself
