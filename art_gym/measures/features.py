"""Features of a small classifier, used to compare distributions of images (the paper's "LeNet-FID")."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from art_gym.denoisers.networks import filled, read_weights
from art_gym.denoisers.threads import survive_forks

BATCH = 512


@dataclass(frozen=True)
class LeNetConfig:
    """A classifier's size.

    Attributes:
        channels: channels of the images.
        side: side of the images in pixels.
        classes: number of classes.
        features: size of the last hidden layer.
        pools: 1 to halve the side after the second convolution, 2 to halve it after the first one too.
    """

    channels: int
    side: int
    classes: int
    features: int = 32
    pools: int = 1


class LeNet(nn.Module):
    """Two convolutions and two linear layers. The last hidden layer is the feature vector."""

    def __init__(self, config: LeNetConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv2d(config.channels, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.hidden = nn.Linear(32 * (config.side // 2**config.pools) ** 2, config.features)
        self.classify = nn.Linear(config.features, config.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, channels, side, side) images to (B, features)."""
        h = functional.silu(self.conv1(images))
        if self.config.pools == 2:
            h = functional.max_pool2d(h, 2)
        h = functional.max_pool2d(functional.silu(self.conv2(h)), 2)
        return torch.tanh(self.hidden(h.flatten(1)))


def features_of(images: np.ndarray, name: str) -> np.ndarray:
    """(N, features) float64 features of (N, channels, side, side) images.

    Args:
        images: in the units of the data, mean 0 and standard deviation 0.5.
        name: the shipped classifier, "digits", "mnist" or "photos".

    Raises:
        ValueError: for images of another shape.
    """
    network = load_features(name)
    expected = (network.config.channels, network.config.side, network.config.side)
    if images.shape[1:] != expected:
        raise ValueError(f"the {name} features are for images of shape {expected}, got {images.shape[1:]}")
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(np.ascontiguousarray(part)))
            for part in np.array_split(images, -(-len(images) // BATCH))
        ]
    return torch.cat(parts).double().numpy()


def classes_of(features: np.ndarray, name: str) -> np.ndarray:
    """The (N,) classes that a shipped classifier gives to its (N, f) features."""
    with torch.no_grad():
        scores = load_features(name).classify(torch.from_numpy(features.astype(np.float32)))
    found: np.ndarray = scores.argmax(dim=1).numpy()
    return found


@cache
def load_features(name: str) -> LeNet:
    """Load the shipped classifier. Raises a ValueError for a missing or damaged file."""
    survive_forks()
    with resources.as_file(resources.files("art_gym").joinpath(f"data/{name}_lenet.safetensors")) as file:
        tensors, config, _, _ = read_weights(Path(file))
    network = filled(lambda: LeNet(LeNetConfig(**config)), tensors)
    return network.eval().requires_grad_(False)
