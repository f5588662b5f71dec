"""Tasks on the shipped networks: digits without and with a class, with known pixels, and patches of photographs.

A condition rides along in the latents: one more channel, which the denoiser hands back as it is. The flow leaves it
alone (x − D = 0), so every solver, bank and search works on conditional tasks without knowing of them, and each noise
has a condition of its own, drawn with it. Errors, statistics and pictures leave carried channels out. The noises of an
episode have one class: each of them is drawn from those that carry the class of the first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from art_gym.denoisers.networks import NO_LABEL, Preconditioned, load_network
from art_gym.denoisers.torch_denoiser import Function, TorchDenoiser
from art_gym.features import features_of
from art_gym.images import photo_patches, split_digits

Draw = Callable[[int, np.random.Generator], np.ndarray]
SIGMA_MIN, SIGMA_MAX = 0.01, 40.0  # what the networks were trained on, three deviations of ln σ either way
CLASSES = 10
KNOWN_COLUMNS = 4  # of an inpainted digit: its left half


class NetworkTask(TorchDenoiser):
    """A shipped network as a task's denoiser, with the data that it learned to compare with.

    Args:
        function, shape, fingerprint: as for `TorchDenoiser`.
        data: (count, rng) to (count, *visible shape) images.
        kind: of images, "digits" or "photos", in whose classifier's features samples are compared with data.
        carried_channels: trailing channels of the latent that carry a condition.
        condition: (B, *shape) noises to (B,) whole numbers, which those of an episode share; None if they need not.
    """

    def __init__(
        self,
        function: Function,
        shape: tuple[int, ...],
        fingerprint: str,
        data: Draw,
        kind: str,
        carried_channels: int = 0,
        condition: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.carried_channels = carried_channels
        self.condition = condition
        self._data = data
        self.features = partial(features_of, name=kind)
        super().__init__(function, shape, SIGMA_MIN, SIGMA_MAX, 0.5, fingerprint=fingerprint)

    def sample_data(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (count, *visible shape) images."""
        return self._data(count, rng)


def digits_net() -> NetworkTask:
    """The network on digits, unconditional."""
    network, fingerprint = _network("digits")
    return NetworkTask(network, (1, 8, 8), fingerprint, _digits, "digits")


def digits_class(guidance: float = 2.0) -> NetworkTask:
    """A class for each episode, with classifier-free guidance: D = D₀ + w (D_class − D₀) (Ho & Salimans 2022).

    Args:
        guidance: w; 1 is the conditional model itself.

    Raises:
        ValueError: for a guidance that is not finite.
    """
    if not np.isfinite(guidance):
        raise ValueError(f"guidance must be a finite number, got {guidance}")
    network, fingerprint = _network("digits")
    return NetworkTask(
        partial(_guided, network, guidance),
        (2, 8, 8),
        f"{fingerprint} class {guidance}",
        _digits,
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


def digits_inpaint() -> NetworkTask:
    """The left half of a held-out digit is given: its pixels replace the estimate's (replacement, Song et al. 2021).

    Where D is the known pixel c, the flow gives x = c + σ ε with the noise that the pixel started from: the network
    sees known pixels at the right noise level without anything being added to them on the way.
    """
    network, fingerprint = _network("digits")
    known = torch.from_numpy(split_digits(held_out=True)[0])
    function = partial(_inpainted, network, known)
    return NetworkTask(function, (2, 8, 8), f"{fingerprint} inpaint", _digits, "digits", carried_channels=1)


def _inpainted(network: Preconditioned, known: torch.Tensor, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    image, carried = x[:, :1], x[:, 1:]
    row = torch.floor(_uniform(carried) * len(known)).long().clamp(0, len(known) - 1)
    given = known.to(x)[row]
    estimate = network(image, sigma)
    left, right = given[..., :KNOWN_COLUMNS], estimate[..., KNOWN_COLUMNS:]
    return torch.cat([torch.cat([left, right], dim=3), carried], dim=1)


def photos_net() -> NetworkTask:
    """The network on 16×16 patches of two photographs, in colour."""
    network, fingerprint = _network("photos")
    return NetworkTask(network, (3, 16, 16), fingerprint, photo_patches, "photos")


@cache
def _network(name: str) -> tuple[Preconditioned, str]:
    with resources.as_file(resources.files("art_gym").joinpath(f"data/{name}_net.safetensors")) as file:
        network, _, fingerprint = load_network(Path(file))
    return network, fingerprint


def _digits(count: int, rng: np.random.Generator) -> np.ndarray:
    images = split_digits(held_out=False)[0]
    return images[rng.integers(len(images), size=count)]


def _class(carried: torch.Tensor) -> torch.Tensor:
    """(B,) classes from carried channels, all as likely."""
    return torch.floor(_uniform(carried) * CLASSES).long().clamp(0, CLASSES - 1)


def _uniform(carried: torch.Tensor) -> torch.Tensor:
    """(B,) uniform numbers from carried channels, which are σ_max times standard normal noise."""
    flat = carried.flatten(1)
    normal = flat.sum(dim=1) / (SIGMA_MAX * flat.shape[1] ** 0.5)
    return torch.special.ndtr(normal)
