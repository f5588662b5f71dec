"""A checkerboard of Gaussians."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.mixture import GaussianMixture
from art_gym.tasks.registry import task


@task
def checkerboard_2d() -> Denoiser:
    """The dark squares of a 4 × 4 board of side 4, each filled by 4 × 4 narrow Gaussians."""
    corner = np.stack(np.meshgrid(np.arange(4), np.arange(4), indexing="ij"), axis=-1).reshape(-1, 2)
    dark = corner[corner.sum(axis=1) % 2 == 0]  # (8, 2)
    inside = (np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) + 0.5) / 4  # (16, 2)
    return GaussianMixture((dark[:, None] + inside).reshape(-1, 2) - 2, 0.1)
