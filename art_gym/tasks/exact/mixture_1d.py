"""Four Gaussians on the line."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.mixture import GaussianMixture
from art_gym.tasks.registry import task


@task
def mixture_1d() -> Denoiser:
    """Four unequal modes on the line."""
    return GaussianMixture(
        means=np.array([[-2.0], [-0.5], [0.8], [2.2]]),
        stds=np.array([0.3, 0.1, 0.2, 0.4]),
        weights=np.array([0.2, 0.35, 0.3, 0.15]),
    )
