"""Digits of a given class, by a network with guidance."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from art_gym.denoisers.networks import NO_LABEL, Preconditioned
from art_gym.tasks.network_task import NetworkTask, draw_digits, load_shipped, uniform
from art_gym.tasks.registry import task

CLASSES = 10


@task
def digits_class(guidance: float = 2.0) -> NetworkTask:
    """A class for each episode, with classifier-free guidance: D = D₀ + w (D_class − D₀) (Ho & Salimans 2022).

    Args:
        guidance: w; 1 is the conditional model itself.

    Raises:
        ValueError: for a guidance that is not finite.
    """
    if not np.isfinite(guidance):
        raise ValueError(f"guidance must be a finite number, got {guidance}")
    network, fingerprint = load_shipped("digits")
    return NetworkTask(
        partial(_guided, network, guidance),
        (2, 8, 8),
        f"{fingerprint} class {guidance}",
        draw_digits,
        "digits",
        carried_channels=1,
        condition=_classes,
    )


def _guided(network: Preconditioned, guidance: float, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    image, carried = x[:, :1], x[:, 1:]
    label = _class(carried)
    both = network(
        torch.cat([image, image]),
        torch.cat([sigma, sigma]),
        torch.cat([torch.full_like(label, NO_LABEL), label]),
    )
    free, given = both.chunk(2)
    return torch.cat([free + guidance * (given - free), carried], dim=1)


def _classes(noises: np.ndarray) -> np.ndarray:
    return _class(torch.from_numpy(noises[:, 1:])).numpy()


def _class(carried: torch.Tensor) -> torch.Tensor:
    """Return (B,) classes from carried channels, all equally likely."""
    return torch.floor(uniform(carried) * CLASSES).long().clamp(0, CLASSES - 1)
