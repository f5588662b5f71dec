"""Digits with one half given, by a network."""

from __future__ import annotations

from art_gym.tasks.conditions import DIGITS
from art_gym.tasks.network_task import NetworkTask
from art_gym.tasks.registry import task


@task
def digits_inpaint() -> NetworkTask:
    """The left half of a held-out digit is given. Its pixels replace the estimate's (replacement, Song et al. 2021)."""
    return DIGITS.half_given()
