"""Digits, by a network."""

from __future__ import annotations

from art_gym.tasks.network_task import NetworkTask, draw_digits, load_shipped
from art_gym.tasks.registry import task


@task
def digits_net() -> NetworkTask:
    """The network on digits, unconditional."""
    network, fingerprint = load_shipped("digits")
    return NetworkTask(network, (1, 8, 8), fingerprint, draw_digits, "digits")
