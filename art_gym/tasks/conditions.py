"""Tasks on grey images of digits, which ours and MNIST have alike: as they are, with a class, and with one half given.

The class and the given half are read from one carried channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from art_gym.denoisers.model_calls import chosen
from art_gym.denoisers.networks import NO_LABEL, Preconditioned
from art_gym.denoisers.torch_denoiser import Function
from art_gym.tasks.images import split_digits, split_mnist
from art_gym.tasks.network_task import SIGMA_MAX, SIGMA_MIN, NetworkTask, load_shipped

CLASSES = 10
HALF = 0.5  # the share of known columns by default


def guided(
    network: Preconditioned, guidance: float, sigma_max: float, x: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """D = D₀ + w (D_class − D₀) for latents whose second channel carries a class (Ho & Salimans 2022).

    Args:
        network: D₀ and D_class.
        guidance: w.
        sigma_max: of the task.
        x, sigma: (B, C, H, W) latents, whose first channel is the image, and their (B,) levels.
    """
    free, given = _free_and_given(network, sigma_max, x[:, :1], x[:, 1:2], sigma)
    return torch.cat([free + guidance * (given - free), x[:, 1:]], dim=1)


def told_apart(network: Preconditioned, sigma_max: float, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """D_class and D_class − D₀ for (B, 3, H, W) latents: an image, the sum of such differences so far, and a class."""
    free, given = _free_and_given(network, sigma_max, x[:, :1], x[:, -1:], sigma)
    return torch.cat([given, given - free, x[:, -1:]], dim=1)


def _free_and_given(
    network: Preconditioned, sigma_max: float, image: torch.Tensor, carried: torch.Tensor, sigma: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The (B, 1, H, W) estimates D₀ and D_class of images with the class that a channel carries."""
    label = chosen(carried, sigma_max, CLASSES)
    both = network(
        torch.cat([image, image]),
        torch.cat([sigma, sigma]),
        torch.cat([torch.full_like(label, NO_LABEL), label]),
    )
    free, given = both.chunk(2)
    return free, given


def checked_guidance(guidance: float) -> float:
    """Return w. Raises a ValueError if it is not finite."""
    if not np.isfinite(guidance):
        raise ValueError(f"guidance must be a finite number, got {guidance}")
    return guidance


def classes(sigma_max: float, noises: np.ndarray) -> np.ndarray:
    """Return the (B,) classes that (B, C, H, W) noises carry in their last channel."""
    return chosen(torch.from_numpy(noises[:, -1:]), sigma_max, CLASSES).numpy()


def inpainted(
    network: Preconditioned,
    known: np.ndarray,
    share: float | torch.Tensor,
    sigma_max: float,
    x: torch.Tensor,
    sigma: torch.Tensor,
) -> torch.Tensor:
    """The estimate with the left part of one of the known images in place (replacement, Song et al. 2021).

    Where D is the known pixel c, the flow gives x = c + σ ε, with the ε that the pixel started from. So the network
    sees known pixels at the right noise level, and no noise has to be added to them on the way.

    Args:
        network: D.
        known: (M, 1, H, W) images. The second channel says which.
        share: of the columns that are known, rounded to whole ones; or (B,) of them.
        sigma_max: of the task.
        x, sigma: (B, C, H, W) latents, whose first channel is the image, and their (B,) levels.
    """
    given = torch.from_numpy(known).to(x)[chosen(x[:, 1:2], sigma_max, len(known))]
    columns = torch.round(torch.as_tensor(share, device=x.device) * x.shape[3]).reshape(-1, 1, 1, 1)
    inside = torch.arange(x.shape[3], device=x.device) < columns
    return torch.cat([torch.where(inside, given, network(x[:, :1], sigma)), x[:, 1:]], dim=1)


@dataclass(frozen=True)
class Digits:
    """Images of digits with a shipped network.

    Attributes:
        name: of the network and of the classifier.
        side: of an image in pixels.
        split: returns the images and labels that are held out (True), or those of the training.
        sigma_min, sigma_max: the noise range.
    """

    name: str
    side: int
    split: Callable[[bool], tuple[np.ndarray, np.ndarray]]
    sigma_min: float
    sigma_max: float

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (count, 1, side, side) images from the training data of the network."""
        images = self.split(False)[0]
        return images[rng.integers(len(images), size=count)]

    def unconditional(self) -> NetworkTask:
        """The network as it is."""
        network, fingerprint = load_shipped(self.name)
        return self._task(network, fingerprint)

    def of_class(self, guidance: float) -> NetworkTask:
        """A class for each episode, with guidance. Raises a ValueError for a guidance that is not finite."""
        network, fingerprint = load_shipped(self.name)
        function = partial(guided, network, checked_guidance(guidance), self.sigma_max)
        return self._task(function, f"{fingerprint} class {guidance}", 1, partial(classes, self.sigma_max))

    def part_given(self, share: float) -> NetworkTask:
        """The left part of a held-out image is given. Raises a ValueError for a share outside 0 to 1."""
        if not 0 <= share <= 1:
            raise ValueError(f"known must be a share of the columns from 0 to 1, got {share:g}")
        network, fingerprint = load_shipped(self.name)
        function = partial(inpainted, network, self.split(True)[0], share, self.sigma_max)
        return self._task(function, f"{fingerprint} inpaint{'' if share == HALF else f' {share:g}'}", 1)

    def _task(
        self,
        function: Function,
        fingerprint: str,
        carried: int = 0,
        condition: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> NetworkTask:
        return NetworkTask(
            function,
            (1 + carried, self.side, self.side),
            fingerprint,
            self.draw,
            self.name,
            carried_channels=carried,
            condition=condition,
            sigma_min=self.sigma_min,
            sigma_max=self.sigma_max,
        )


DIGITS = Digits("digits", 8, split_digits, SIGMA_MIN, SIGMA_MAX)
# The paper's noise range; also three standard deviations of ln σ in training.
MNIST = Digits("mnist", 28, split_mnist, 0.002, 80.0)
