"""MNIST digits of a given class, by a network with guidance."""

from __future__ import annotations

from art_gym.tasks.conditions import MNIST
from art_gym.tasks.network_task import NetworkTask
from art_gym.tasks.registry import task


@task
def mnist_class(guidance: float = 2.0) -> NetworkTask:
    """A class for each episode, with classifier-free guidance, as in `digits_class`. A call runs the network twice.

    Args:
        guidance: w; 1 is the conditional model itself.

    Raises:
        ValueError: for a guidance that is not finite.
    """
    return MNIST.of_class(guidance)
