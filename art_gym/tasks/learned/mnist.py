"""MNIST, by a network."""

from __future__ import annotations

from art_gym.tasks.conditions import MNIST
from art_gym.tasks.network_task import NetworkTask
from art_gym.tasks.registry import task


@task
def mnist() -> NetworkTask:
    """A small U-Net on 28×28 MNIST digits, unconditional. The noise range is the paper's, 0.002 to 80."""
    return MNIST.unconditional()
