"""The largest numbers that are taken, each in one place, so that nothing fills the memory or never ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from art_gym.common.messages import short

MAX_STEPS = 1000  # K of schedules, samplers, grids and episodes
MAX_NOISES = 2**20  # of a split
MAX_ENVS = 2**16  # lanes of a vector environment
MAX_POPULATION = 2**16
MAX_ELEMENTS = 2**27  # numbers in one array, half a GiB
SEEDS = 2**64  # seeds are below


def check_whole(name: str, value: Any, least: int, most: int, why: str = "") -> int:
    """Return a whole number as Python's int.

    Raises:
        ValueError: for another type, True included, and for a number below ``least`` or above ``most``.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, got {short(value)}{why}")
    return int(value)


def check_elements(what: str, *sizes: int) -> None:
    """Raise a ValueError if an array of these sizes has more than `MAX_ELEMENTS` numbers."""
    count = 1
    for size in sizes:
        count *= int(size)
    if count > MAX_ELEMENTS:
        product = " × ".join(map(short, sizes))
        raise ValueError(f"{what} is too large: {product} numbers, and an array may have {MAX_ELEMENTS}")
