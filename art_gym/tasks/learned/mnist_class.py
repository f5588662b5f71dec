"""MNIST digits of a given class, by a network with guidance."""

from __future__ import annotations

from functools import partial

from art_gym.tasks.conditions import checked_guidance, classes, guided
from art_gym.tasks.network_task import MNIST_RANGE, NetworkTask, draw_mnist, load_shipped
from art_gym.tasks.registry import task


@task
def mnist_class(guidance: float = 2.0) -> NetworkTask:
    """A class for each episode, with classifier-free guidance, as in `digits_class`. A call runs the network twice.

    Args:
        guidance: w; 1 is the conditional model itself.

    Raises:
        ValueError: for a guidance that is not finite.
    """
    network, fingerprint = load_shipped("mnist")
    low, high = MNIST_RANGE
    return NetworkTask(
        partial(guided, network, checked_guidance(guidance), high),
        (2, 28, 28),
        f"{fingerprint} class {guidance}",
        draw_mnist,
        "mnist",
        carried_channels=1,
        condition=partial(classes, high),
        sigma_min=low,
        sigma_max=high,
    )
