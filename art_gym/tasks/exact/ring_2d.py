"""Gaussians on a circle."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.mixture import GaussianMixture
from art_gym.tasks.registry import task


@task
def ring_2d() -> Denoiser:
    """Eight Gaussians of deviation 0.15 on a circle of radius 2."""
    angle = np.arange(8) * np.pi / 4
    return GaussianMixture(2 * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.15)
