"""One Gaussian on the line."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.mixture import GaussianMixture
from art_gym.tasks.registry import task


@task
def gaussian_1d() -> Denoiser:
    """N(0, 1): the flow, the optimal grid and every distance are known in closed form."""
    return GaussianMixture(np.zeros((1, 1)), 1.0)
