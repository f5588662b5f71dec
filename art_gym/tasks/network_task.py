"""Tasks on the shipped networks: digits and MNIST without and with a class or known pixels, and patches of photographs.

One more channel of the latents carries the condition, and the denoiser returns it unchanged. The flow leaves it alone
(x − D = 0), so solvers, banks and searches need no special code for conditional tasks. Each noise has its own
condition, drawn with it. Errors, statistics and pictures leave carried channels out. The noises of an episode have one
class: each is drawn from those that carry the class of the first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import resources
from pathlib import Path

import numpy as np

from art_gym.denoisers.networks import Preconditioned, load_network
from art_gym.denoisers.torch_denoiser import Function, TorchDenoiser
from art_gym.measures.features import features_of

Draw = Callable[[int, np.random.Generator], np.ndarray]
SIGMA_MIN, SIGMA_MAX = 0.01, 40.0  # the training range, three standard deviations of ln σ either way


class NetworkTask(TorchDenoiser):
    """A shipped network as a task's denoiser, with its training data to compare samples with.

    Args:
        function, shape, fingerprint: as for `TorchDenoiser`.
        data: maps (count, rng) to (count, *visible shape) images.
        kind: kind of images, "digits", "mnist" or "photos". Its classifier gives the features to compare samples with
            data.
        carried_channels: trailing channels of the latent that carry a condition.
        condition: maps (B, *shape) noises to (B,) whole numbers. The noises of an episode share one number. None if
            they need not.
        sigma_min, sigma_max: the noise range.
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
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
    ) -> None:
        self.carried_channels = carried_channels
        self.condition = condition
        self._data = data
        self.features = partial(features_of, name=kind)
        super().__init__(function, shape, sigma_min, sigma_max, 0.5, fingerprint=fingerprint)

    def sample_data(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (count, *visible shape) images."""
        return self._data(count, rng)


@cache
def load_shipped(name: str) -> tuple[Preconditioned, str]:
    """The network on "digits", "mnist" or "photos" that ships with the package, and its fingerprint."""
    with resources.as_file(resources.files("art_gym").joinpath(f"data/{name}_net.safetensors")) as file:
        network, _, fingerprint = load_network(Path(file))
    return network, fingerprint
