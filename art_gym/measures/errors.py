"""Distances from samples to the precise endpoints of their noises."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser, Models


def endpoint_error(samples: np.ndarray, endpoints: np.ndarray, batch_axes: int = 1) -> np.ndarray:
    """err_i of DESIGN §3: root-mean-square distance, over a latent's elements, to the precise endpoint of its noise.

    Args:
        samples, endpoints: (…batch, *shape).
        batch_axes: number of leading batch axes.

    Returns:
        (…batch): one error per latent, in the units of the data.
    """
    difference = (samples - endpoints).reshape(*samples.shape[:batch_axes], -1)
    rms: np.ndarray = np.sqrt(np.einsum("...i,...i->...", difference, difference) / difference.shape[-1])
    return rms


def mean_error(errors: np.ndarray, models: Models | None) -> tuple[float, float]:
    """The mean of (B,) errors, and half its 95 % interval.

    For several models it is the geometric mean of their mean errors, so that none rules it.
    """
    if models is None:
        return float(errors.mean()), float(1.96 * errors.std() / np.sqrt(len(errors)))
    unique, first, where = np.unique(models.numbers, return_index=True, return_inverse=True)
    means = np.bincount(where, errors) / np.bincount(where)  # (C,)
    logs = np.log(np.maximum(means, models.floors[first]))
    mean = np.exp(logs.mean())
    return float(mean), float(mean * 1.96 * logs.std() / np.sqrt(len(unique)))


def image_error(denoiser: Denoiser, samples: np.ndarray, endpoints: np.ndarray, batch_axes: int = 1) -> np.ndarray:
    """As `endpoint_error`, but between the images that the denoiser's ``decode`` makes of the latents.

    Raises:
        ValueError: if the denoiser has no decoder.
    """
    decode = getattr(denoiser, "decode", None)
    if decode is None:
        raise ValueError(
            f"{type(denoiser).__name__} has no decoder, so there is no error in image space: load a pipeline with "
            f"a VAE, pass decoder=..., or choose reward='log_ratio'"
        )
    batch = samples.shape[:batch_axes]
    images = [decode(x.reshape(-1, *x.shape[batch_axes:])) for x in (samples, endpoints)]
    return endpoint_error(*images).reshape(batch)
