"""Training of the small classifiers that give the features for comparing images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import art_gym
from art_gym.common.isolation import isolated
from art_gym.common.messages import short
from art_gym.denoisers.networks import save_weights
from art_gym.measures.features import LeNet, LeNetConfig
from art_gym.tasks.images import labelled_patches, split_digits, split_mnist

from .networks import HELD_OUT, Draw, checked_updates, rows_of

BATCH, LEARNING_RATE = 128, 2e-3
SHIFT = 2  # pixels, at most: of MNIST in training


@dataclass(frozen=True)
class Classifier:
    """A classifier's size and data.

    Attributes:
        config: its size.
        draw: (count, rng) to images and labels for training.
        held_out: images and labels on which the accuracy is measured.
        updates: of Adam.
    """

    config: LeNetConfig
    draw: Draw
    held_out: Callable[[], tuple[np.ndarray, np.ndarray]]
    updates: int = 1500


def classifiers() -> dict[str, Callable[[], Classifier]]:
    """Digits by their label, and patches by their photograph and the third of it that they come from."""
    rng = np.random.default_rng(21)
    return {
        "digits": lambda: Classifier(
            LeNetConfig(1, 8, 10),
            rows_of(*split_digits(False)),
            lambda: rows_of(*split_digits(True))(HELD_OUT, rng),
        ),
        "mnist": lambda: Classifier(
            LeNetConfig(1, 28, 10, pools=2),
            _shifted(rows_of(*split_mnist(False))),
            lambda: split_mnist(True),
            updates=3000,
        ),
        "photos": lambda: Classifier(
            LeNetConfig(3, 16, 6),
            lambda count, rng: labelled_patches(count, rng, held_out=False),
            lambda: labelled_patches(HELD_OUT, rng, held_out=True),
        ),
    }


def _shifted(draw: Draw) -> Draw:
    """Images moved by a few pixels, the same in all channels. The background comes in at the edges."""

    def moved(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        images, labels = draw(count, rng)
        side = images.shape[2]
        edges = ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT))
        padded = np.pad(images, edges, constant_values=images.min())
        corners = rng.integers(2 * SHIFT + 1, size=(count, 2))
        shifted = [one[:, y : y + side, x : x + side] for one, (y, x) in zip(padded, corners, strict=True)]
        return np.stack(shifted), labels

    return moved


@isolated()
def train_classifier(name: str, file: Path, seed: int, updates: int | None = None) -> dict[str, float]:
    """Train a classifier, and write its weights as safetensors.

    Args:
        name: a key of `classifiers`.
        file: where to write.
        seed: of weights and batches.
        updates: number to use instead of the recipe's, for a trial.

    Returns:
        Facts that the file's header holds too: accuracy on held-out images, seconds, parameters.

    Raises:
        ValueError: for an unknown name, or fewer than one update.
    """
    if name not in classifiers():
        raise ValueError(f"unknown classifier {short(name)}: choose one of {', '.join(classifiers())}")
    recipe = classifiers()[name]()
    updates = checked_updates(recipe.updates if updates is None else updates)
    torch.manual_seed(seed)
    rng, began = np.random.default_rng(seed), time.perf_counter()
    network = LeNet(recipe.config)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - update / updates)
        images, labels = map(torch.from_numpy, recipe.draw(BATCH, rng))
        loss = torch.nn.functional.cross_entropy(network.classify(network(images)), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    images, labels = map(torch.from_numpy, recipe.held_out())
    with torch.no_grad():
        accuracy = float((network.classify(network(images)).argmax(dim=1) == labels).float().mean())
    facts = {
        "held_out_accuracy": accuracy,
        "seconds": time.perf_counter() - began,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "seed": seed,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    save_weights(file, network, recipe.config, {**facts, "name": name, "version": art_gym.__version__})
    return facts
