"""Digits of a given class, by a network with guidance."""

from __future__ import annotations

from functools import partial

from art_gym.tasks.conditions import checked_guidance, classes, guided
from art_gym.tasks.network_task import SIGMA_MAX, NetworkTask, draw_digits, load_shipped
from art_gym.tasks.registry import task


@task
def digits_class(guidance: float = 2.0) -> NetworkTask:
    """A class for each episode, with classifier-free guidance: D = D₀ + w (D_class − D₀) (Ho & Salimans 2022).

    Args:
        guidance: w; 1 is the conditional model itself.

    Raises:
        ValueError: for a guidance that is not finite.
    """
    network, fingerprint = load_shipped("digits")
    return NetworkTask(
        partial(guided, network, checked_guidance(guidance), SIGMA_MAX),
        (2, 8, 8),
        f"{fingerprint} class {guidance}",
        draw_digits,
        "digits",
        carried_channels=1,
        condition=partial(classes, SIGMA_MAX),
    )
