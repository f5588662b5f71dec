"""MNIST, by a network."""

from __future__ import annotations

from art_gym.tasks.network_task import MNIST_RANGE, NetworkTask, draw_mnist, load_shipped
from art_gym.tasks.registry import task


@task
def mnist() -> NetworkTask:
    """A small U-Net on 28×28 MNIST digits, unconditional. The noise range is the paper's, 0.002 to 80."""
    network, fingerprint = load_shipped("mnist")
    low, high = MNIST_RANGE
    return NetworkTask(network, (1, 28, 28), fingerprint, draw_mnist, "mnist", sigma_min=low, sigma_max=high)
