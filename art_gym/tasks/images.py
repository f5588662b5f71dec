"""The real images that ship with the package, scaled to mean 0 and standard deviation 0.5."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

PATCH = 16  # pixels a side
HELD_OUT_DIGITS = 180  # the last of a fixed shuffle: networks are not trained on them
HELD_OUT_MNIST = 1000  # the same of MNIST
HELD_OUT_SHARE = 0.25  # of each photograph's width, on the right


@cache
def digit_images() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's digit images (1797, 1, 8, 8), with mean 0 and standard deviation 0.5, and their labels."""
    with resources.files("art_gym").joinpath("data/digits.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        images, labels = stored["images"].astype(np.float32), stored["labels"]
    images = (images - images.mean()) / images.std() * 0.5
    return images[:, None], labels


def split_digits(held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits that networks are trained on, or the held-out digits, with their labels."""
    return _split(digit_images(), HELD_OUT_DIGITS, held_out)


@cache
def mnist_images() -> tuple[np.ndarray, np.ndarray]:
    """Return 10,000 MNIST digits (10000, 1, 28, 28), with mean 0 and standard deviation 0.5, and their labels."""
    with resources.files("art_gym").joinpath("data/mnist.npz").open("rb") as file:
        stored = np.load(file, allow_pickle=False)
        images, labels = stored["images"].astype(np.float32), stored["labels"]
    return ((images - images.mean()) / images.std() * np.float32(0.5))[:, None], labels


@cache
def split_mnist(held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the MNIST digits that networks are trained on, or the held-out ones, with their labels."""
    return _split(mnist_images(), HELD_OUT_MNIST, held_out)


def _split(known: tuple[np.ndarray, np.ndarray], count: int, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    images, labels = known
    order = np.random.default_rng(8).permutation(len(images))
    rows = order[-count:] if held_out else order[:-count]
    return images[rows], labels[rows].astype(np.int64)


@cache
def photographs() -> np.ndarray:
    """The two photographs that scikit-learn ships, at half size: (2, 3, 213, 320)."""
    with resources.files("art_gym").joinpath("data/photos.npz").open("rb") as file:
        photos = np.load(file, allow_pickle=False)["photos"].astype(np.float32)
    scaled: np.ndarray = ((photos - photos.mean()) / photos.std() * 0.5).transpose(0, 3, 1, 2)
    return scaled


def photo_patches(count: int, rng: np.random.Generator, held_out: bool = False) -> np.ndarray:
    """(count, 3, 16, 16) patches at random places, mirrored at random, from the left or the held-out right part."""
    return labelled_patches(count, rng, held_out)[0]


def labelled_patches(count: int, rng: np.random.Generator, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """As `photo_patches`, with (count,) labels: 3 times the photograph's index plus the index of the vertical third."""
    photos = photographs()
    edge = int(photos.shape[3] * (1 - HELD_OUT_SHARE))
    first, last = (edge, photos.shape[3] - PATCH) if held_out else (0, edge - PATCH)
    which, top = rng.integers(2, size=count), rng.integers(photos.shape[2] - PATCH + 1, size=count)
    left, mirrored = rng.integers(first, last + 1, size=count), rng.random(count) < 0.5
    patches = [photos[w, :, t : t + PATCH, x : x + PATCH] for w, t, x in zip(which, top, left, strict=True)]
    images = np.stack([p[:, :, ::-1] if m else p for p, m in zip(patches, mirrored, strict=True)])
    return images, 3 * which + np.minimum(3 * top // (photos.shape[2] - PATCH), 2)
