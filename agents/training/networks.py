"""Training of the shipped networks: `art-gym train-denoiser digits` remakes the weights in art_gym/data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import art_gym
from art_gym.common.files import replacing
from art_gym.common.isolation import isolated
from art_gym.common.messages import short
from art_gym.denoisers.networks import NO_LABEL, SIGMA_DATA, NetworkConfig, Preconditioned, save_weights
from art_gym.tasks.images import photo_patches, split_digits, split_mnist

from .state_file import read_state, write_state

Draw = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
HELD_OUT = 1024  # pairs of image and noise on which the loss is measured
EMA = 0.999
CHECKPOINTS = 20


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        config: its architecture.
        draw: (count, rng) to images and labels for training.
        held_out: the same from held-out images.
        updates, batch, learning_rate: of Adam; the rate falls to 0 along a cosine.
        mean, std: of ln σ in training (Karras et al. 2022, table 1, adapted to small images).
        bfloat16: whether convolutions of the training run in bfloat16, which takes 0.7 of the time where the processor
            has it.
        label_dropout: share of the images whose label is left out, so that the network runs without a label too.
    """

    config: NetworkConfig
    draw: Draw
    held_out: Draw
    updates: int
    batch: int
    learning_rate: float
    mean: float = -1.0
    std: float = 1.4
    bfloat16: bool = False
    label_dropout: float = 0.15


def rows_of(images: np.ndarray, labels: np.ndarray) -> Draw:
    """Draw from stored images, with replacement."""

    def draw(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        rows = rng.integers(len(images), size=count)
        return images[rows], labels[rows]

    return draw


def _photos(held_out: bool) -> Draw:
    return lambda count, rng: (photo_patches(count, rng, held_out), np.full(count, NO_LABEL))


def recipes() -> dict[str, Callable[[], Recipe]]:
    """Recipes by the network's name."""
    return {
        "digits": lambda: Recipe(
            NetworkConfig("mlp", (1, 8, 8), width=256, blocks=4, labels=10, dropout=0.15),
            rows_of(*split_digits(False)),
            rows_of(*split_digits(True)),
            updates=20_000,
            batch=256,
            learning_rate=2e-3,
        ),
        "mnist": lambda: Recipe(
            NetworkConfig(
                "unet", (1, 28, 28), width=16, blocks=1, labels=10, dropout=0.05, multipliers=(2, 4, 9), patch=2
            ),
            rows_of(*split_mnist(False)),
            rows_of(*split_mnist(True)),
            updates=6_500,
            batch=128,
            learning_rate=1.5e-3,
            mean=-0.6,
            std=1.6,
            bfloat16=True,
            label_dropout=0.5,
        ),
        "photos": lambda: Recipe(
            NetworkConfig("unet", (3, 16, 16), width=16, blocks=2),
            _photos(False),
            _photos(True),
            updates=4_000,
            batch=64,
            learning_rate=2e-3,
        ),
    }


@isolated()
def train_denoiser(
    name: str, file: Path, seed: int, resume: bool, progress: bool, updates: int | None = None
) -> dict[str, float]:
    """Train a network and write its weights (an exponential moving average) as safetensors.

    Args:
        name: a key of `recipes`.
        file: where to write; checkpoints and TensorBoard logs go beside it, to a folder named after it.
        seed: of initial weights, batches and noise.
        resume: continue from the last checkpoint.
        progress: show a bar.
        updates: number to use instead of the recipe's, for a trial.

    Returns:
        Facts that the file's header holds too: held-out loss, seconds, parameters.

    Raises:
        ValueError: for an unknown name, fewer than one update, or a checkpoint that cannot be read.
    """
    from torch.utils.tensorboard import SummaryWriter

    if name not in recipes():
        raise ValueError(f"unknown network {short(name)}: choose one of {', '.join(recipes())}")
    recipe = recipes()[name]()
    total = checked_updates(recipe.updates if updates is None else updates)
    torch.manual_seed(seed)
    network, average = Preconditioned(recipe.config), Preconditioned(recipe.config)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    done, spent = 0, 0.0
    folder = file.parent / f"{file.stem}_training"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    if resume and checkpoint.exists():
        done, spent = _load(checkpoint, seed, network, average, optimizer)
    writer = SummaryWriter(str(folder))
    began = time.perf_counter() - spent
    every = max(total // CHECKPOINTS, 1)
    for update in tqdm(
        range(done, total), desc=f"train-denoiser {name}", disable=not progress, initial=done, total=total
    ):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * update / total))
        loss = _training_loss(network, recipe, seed, update)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        keep = min(EMA, (update + 1) / (update + 10))
        with torch.no_grad():
            for mean, now in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)
        if (update + 1) % every == 0:
            writer.add_scalar("loss/train", float(loss.detach()), update + 1)
            writer.add_scalar("loss/held_out", held_out_loss(average, recipe), update + 1)
            _save(checkpoint, seed, network, average, optimizer, update + 1, time.perf_counter() - began)
    writer.close()
    facts = {
        "held_out_loss": held_out_loss(average, recipe),
        "seconds": time.perf_counter() - began,
        "parameters": sum(parameter.numel() for parameter in average.parameters()),
        "updates": total,
        "seed": seed,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    save_weights(file, average, recipe.config, {**facts, "name": name, "version": art_gym.__version__})
    return facts


def _training_loss(network: Preconditioned, recipe: Recipe, seed: int, update: int) -> torch.Tensor:
    """The loss of an update's batch. A resumed run draws the same batches as an uninterrupted one."""
    rng = np.random.default_rng([seed, update])
    torch.manual_seed(seed * 1_000_003 + update)
    images, labels = recipe.draw(recipe.batch, rng)
    labels = np.where(rng.random(len(labels)) < recipe.label_dropout, NO_LABEL, labels)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
        return _loss(network.train(), images, labels, rng, recipe)


def held_out_loss(network: Preconditioned, recipe: Recipe) -> float:
    """The loss on held-out images with labels, at fixed noises."""
    rng = np.random.default_rng(21)
    images, labels = recipe.held_out(HELD_OUT, rng)
    with torch.no_grad():
        return float(_loss(network.eval(), images, labels, rng, recipe))


def _loss(
    network: Preconditioned, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator, recipe: Recipe
) -> torch.Tensor:
    """Mean of λ(σ) ‖D − x₀‖² per element, λ = (σ² + s²)/(σ s)²: 1 for a network that knows nothing (equation 8)."""
    sigma = np.exp(recipe.mean + recipe.std * rng.standard_normal(len(images))).astype(np.float32)
    noisy = images + sigma[:, None, None, None] * rng.standard_normal(images.shape, dtype=np.float32)
    arguments = (torch.from_numpy(array) for array in (noisy, sigma, labels))
    weight = torch.from_numpy((sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2)
    loss: torch.Tensor = (
        weight * ((network(*arguments) - torch.from_numpy(images)) ** 2).flatten(1).mean(dim=1)
    ).mean()
    return loss


def _save(
    file: Path,
    seed: int,
    network: Preconditioned,
    average: Preconditioned,
    optimizer: torch.optim.Adam,
    done: int,
    spent: float,
) -> None:
    content = {
        "seed": seed,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "done": done,
        "seconds": spent,
    }
    with replacing(file) as temporary:
        write_state(content, temporary)


def _load(
    file: Path,
    seed: int,
    network: Preconditioned,
    average: Preconditioned,
    optimizer: torch.optim.Adam,
) -> tuple[int, float]:
    try:
        content = read_state(file)
        network.load_state_dict(content["network"])
        average.load_state_dict(content["average"])
        optimizer.load_state_dict(content["optimizer"])
        before = content["seed"]
    except ValueError as error:
        raise ValueError(f"cannot resume from {file}: {error}; delete it to begin anew") from None
    except Exception as error:  # of content with other keys, types or shapes
        said = f"its content does not fit ({type(error).__name__})"
        raise ValueError(f"cannot resume from {file}: {said}; delete it to begin anew") from None
    if before != seed:
        raise ValueError(
            f"cannot resume from {file}, whose seed is {before}, with seed {seed}: delete it to begin anew"
        )
    return content["done"], content["seconds"]


def checked_updates(updates: int) -> int:
    """Return the number of updates. Raises a ValueError for fewer than one."""
    if updates < 1:
        raise ValueError(f"a network needs at least one update, got updates={updates}")
    return updates
