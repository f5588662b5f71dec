"""Conditions of tasks on networks: a class with guidance, and known pixels. Both are read from one carried channel."""

from __future__ import annotations

import numpy as np
import torch

from art_gym.denoisers.networks import NO_LABEL, Preconditioned

CLASSES = 10


def guided(
    network: Preconditioned, guidance: float, sigma_max: float, x: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """D = D₀ + w (D_class − D₀) for (B, 2, H, W) latents, which carry a class (Ho & Salimans 2022)."""
    image, carried = x[:, :1], x[:, 1:]
    label = _class(carried, sigma_max)
    both = network(
        torch.cat([image, image]),
        torch.cat([sigma, sigma]),
        torch.cat([torch.full_like(label, NO_LABEL), label]),
    )
    free, given = both.chunk(2)
    return torch.cat([free + guidance * (given - free), carried], dim=1)


def checked_guidance(guidance: float) -> float:
    """Return w. Raises a ValueError if it is not finite."""
    if not np.isfinite(guidance):
        raise ValueError(f"guidance must be a finite number, got {guidance}")
    return guidance


def classes(sigma_max: float, noises: np.ndarray) -> np.ndarray:
    """Return the (B,) classes that (B, 2, H, W) noises carry."""
    return _class(torch.from_numpy(noises[:, 1:]), sigma_max).numpy()


def inpainted(
    network: Preconditioned, known: torch.Tensor, sigma_max: float, x: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """The estimate with the left half of one of the known images in place (replacement, Song et al. 2021).

    Where D is the known pixel c, the flow gives x = c + σ ε, with the ε that the pixel started from. So the network
    sees known pixels at the right noise level, and no noise has to be added to them on the way.

    Args:
        network: D.
        known: (M, 1, H, W) images. The carried channel says which.
        sigma_max: of the task.
        x, sigma: (B, 2, H, W) latents and their (B,) levels.
    """
    image, carried = x[:, :1], x[:, 1:]
    row = torch.floor(_uniform(carried, sigma_max) * len(known)).long().clamp(0, len(known) - 1)
    given = known.to(x)[row]
    estimate = network(image, sigma)
    half = x.shape[3] // 2
    return torch.cat([torch.cat([given[..., :half], estimate[..., half:]], dim=3), carried], dim=1)


def _class(carried: torch.Tensor, sigma_max: float) -> torch.Tensor:
    """Return (B,) classes from carried channels, all equally likely."""
    return torch.floor(_uniform(carried, sigma_max) * CLASSES).long().clamp(0, CLASSES - 1)


def _uniform(carried: torch.Tensor, sigma_max: float) -> torch.Tensor:
    """Return (B,) uniform numbers from carried channels, which hold σ_max times standard normal noise."""
    flat = carried.flatten(1)
    normal = flat.sum(dim=1) / (sigma_max * flat.shape[1] ** 0.5)
    uniform: torch.Tensor = torch.special.ndtr(normal)
    return uniform
