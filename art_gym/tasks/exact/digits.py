"""Images of digits, with an exact denoiser."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.dataset import ExactDataset
from art_gym.tasks.images import digit_images
from art_gym.tasks.registry import task


@task
def digits() -> Denoiser:
    """A narrow Gaussian, s₀ = 0.1, around each of 1797 real 8×8 images: an exact denoiser in 64 dimensions."""
    return ExactDataset(digit_images()[0], width=0.1, features=_digit_features)


def _digit_features(images: np.ndarray) -> np.ndarray:
    from art_gym.measures.features import features_of  # imports torch

    return features_of(images, "digits")
