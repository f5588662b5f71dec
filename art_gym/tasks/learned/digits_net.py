"""Digits, by a network."""

from __future__ import annotations

from art_gym.tasks.conditions import DIGITS
from art_gym.tasks.network_task import NetworkTask
from art_gym.tasks.registry import task


@task
def digits_net() -> NetworkTask:
    """The network on digits, unconditional."""
    return DIGITS.unconditional()
