"""Digits of a given class, where the guidance of each step can be chosen."""

from __future__ import annotations

from art_gym.tasks.conditions import DIGITS
from art_gym.tasks.guided_task import GuidedTask
from art_gym.tasks.registry import task


@task
def guidance() -> GuidedTask:
    """A class for each episode, as in `digits_class`. Actions "guidance" choose w in D₀ + w (D_class − D₀)."""
    return GuidedTask(DIGITS)
