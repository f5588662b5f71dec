"""One data set at many scales: a context in the sense of CARL (Benjamins et al. 2023)."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.diagonal import DiagonalMixture
from art_gym.tasks.exact.ring_2d import ring_2d
from art_gym.tasks.families.base import Family
from art_gym.tasks.registry import task

SCALES = np.geomspace(0.05, 4, 16)


@task
def context() -> Family:
    """Eight Gaussians on a circle, as in `ring_2d`, at sixteen scales from 0.05 to 4."""
    return Family(_ring, range(len(SCALES)), width=2)


def _ring(number: int) -> DiagonalMixture:
    ring = ring_2d()
    means, scale = ring.means, SCALES[number]  # type: ignore[attr-defined]
    return DiagonalMixture(scale * means, np.full(means.shape, (0.15 * scale) ** 2))
