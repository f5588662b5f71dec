"""Digits of a given class, by a network with guidance."""

from __future__ import annotations

from art_gym.tasks.conditions import DIGITS
from art_gym.tasks.network_task import NetworkTask
from art_gym.tasks.registry import task


@task
def digits_class(guidance: float = 2.0) -> NetworkTask:
    """A class for each episode, with classifier-free guidance: D = D₀ + w (D_class − D₀) (Ho & Salimans 2022).

    Args:
        guidance: w; 1 is the conditional model itself.

    Raises:
        ValueError: for a guidance that is not finite.
    """
    return DIGITS.of_class(guidance)
