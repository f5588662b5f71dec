"""MNIST digits with one half given, by a network."""

from __future__ import annotations

from functools import partial

import torch

from art_gym.tasks.conditions import inpainted
from art_gym.tasks.images import split_mnist
from art_gym.tasks.network_task import MNIST_RANGE, NetworkTask, draw_mnist, load_shipped
from art_gym.tasks.registry import task


@task
def mnist_inpaint() -> NetworkTask:
    """The left half of a held-out digit is given. Its pixels replace the estimate's (replacement, Song et al. 2021)."""
    network, fingerprint = load_shipped("mnist")
    known = torch.from_numpy(split_mnist(held_out=True)[0])
    low, high = MNIST_RANGE
    return NetworkTask(
        partial(inpainted, network, known, high),
        (2, 28, 28),
        f"{fingerprint} inpaint",
        draw_mnist,
        "mnist",
        carried_channels=1,
        sigma_min=low,
        sigma_max=high,
    )
