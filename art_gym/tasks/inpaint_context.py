"""A network with another share of known pixels in each episode: a context in the sense of CARL."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.networks import Preconditioned
from art_gym.tasks.conditions import Digits, inpainted
from art_gym.tasks.families.base import ROWS
from art_gym.tasks.network_task import NetworkTask, load_shipped


class InpaintContext(NetworkTask):
    """Images of which another part is known in each context.

    A latent is an image, a channel that carries which image is known, and one for the number of its context, from 1. D
    returns both unchanged.

    Args:
        digits: the images, with their network and classifier.
        shares: of the columns that are known, one for each context.
    """

    def __init__(self, digits: Digits, shares: tuple[float, ...]) -> None:
        network, fingerprint = load_shipped(digits.name)
        self.digits, self.shares = digits, shares
        super().__init__(
            partial(_inpainted, network, digits, shares),
            (3, digits.side, digits.side),
            f"{fingerprint} inpaint of {shares}",
            digits.draw,
            digits.name,
            carried_channels=2,
            condition=_numbers,
            sigma_min=digits.sigma_min,
            sigma_max=digits.sigma_max,
        )

    @property
    def contexts(self) -> int:
        """How many there are."""
        return len(self.shares)

    def arrange(self, noises: np.ndarray, first: int) -> np.ndarray:
        """(B, *shape) noises of a bank from row ``first`` on, with the numbers of their contexts in the last one."""
        arranged = noises.copy()
        numbers = (first + np.arange(len(noises))) // ROWS % len(self.shares)
        arranged[:, -1] = 1 + numbers[:, None, None]
        return arranged

    def scales(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(…,) standard deviations of the data of these contexts, and shares of the elements: the same for all."""
        return np.full(numbers.shape, self.data_std), np.ones(numbers.shape)

    def model(self, number: int) -> Denoiser:
        """The denoiser of one context alone."""
        return self.digits.part_given(self.shares[number])


def _numbers(x: np.ndarray) -> np.ndarray:
    """The (…,) numbers of the contexts of (…, *shape) latents."""
    numbers: np.ndarray = np.rint(x[..., -1, 0, 0]).astype(np.int64) - 1
    return numbers


def _inpainted(
    network: Preconditioned, digits: Digits, shares: tuple[float, ...], x: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    numbers = (torch.round(x[:, -1, 0, 0]).long() - 1).clamp(0, len(shares) - 1)
    known = torch.tensor(shares, device=x.device)[numbers]
    return inpainted(network, digits.split(True)[0], known, digits.sigma_max, x, sigma)
