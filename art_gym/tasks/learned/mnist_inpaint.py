"""MNIST digits with one half given, by a network."""

from __future__ import annotations

from art_gym.tasks.conditions import HALF, MNIST
from art_gym.tasks.network_task import NetworkTask
from art_gym.tasks.registry import task


@task
def mnist_inpaint(known: float = HALF) -> NetworkTask:
    """The left part of a held-out digit is given. Its pixels replace the estimate's (replacement, Song et al. 2021).

    Args:
        known: share of the columns that are given, from 0 to 1.

    Raises:
        ValueError: for a share outside that range.
    """
    return MNIST.part_given(known)
