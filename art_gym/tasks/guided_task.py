"""A network whose latents carry a class, and whose guidance an action may choose at each step."""

from __future__ import annotations

from functools import partial

import numpy as np

from art_gym.measures.class_quality import ClassQuality
from art_gym.tasks.conditions import Digits, classes, told_apart
from art_gym.tasks.network_task import NetworkTask, load_shipped


class GuidedTask(NetworkTask):
    """Images of a class, with D_class as D. The second of three channels of D tells what guidance adds.

    A latent is an image, a channel for that, and a channel that carries the class. The second channel starts at 0, and
    D returns D_class − D₀ in it. Nothing depends on what the flow makes of it.

    Args:
        digits: the images, with their network and classifier.
    """

    def __init__(self, digits: Digits) -> None:
        network, fingerprint = load_shipped(digits.name)
        super().__init__(
            partial(told_apart, network, digits.sigma_max),
            (3, digits.side, digits.side),
            f"{fingerprint} class told apart",
            digits.draw,
            digits.name,
            carried_channels=2,
            condition=partial(classes, digits.sigma_max),
            sigma_min=digits.sigma_min,
            sigma_max=digits.sigma_max,
        )
        self.quality = ClassQuality(digits.name, partial(digits.split, False))

    def arrange(self, noises: np.ndarray, first: int) -> np.ndarray:
        """(B, *shape) noises of a bank, without noise in the second channel."""
        arranged = noises.copy()
        arranged[:, 1] = 0
        return arranged

    def direction(self, denoised: np.ndarray) -> np.ndarray:
        """D_class − D₀ in (…, *shape) estimates: (…, 1, H, W)."""
        return denoised[..., 1:2, :, :]

    def guided(self, denoised: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(E, N, *shape) estimates with guidance: D₀ + w (D_class − D₀) for (E,) weights w."""
        beyond = (weights - 1).astype(np.float32).reshape(-1, 1, 1, 1, 1)
        mixed = denoised.copy()
        mixed[..., :1, :, :] += beyond * self.direction(denoised)
        return mixed
