"""Checks for ART-RL and the clocked buffers: their arguments, and the observations that hold the clock."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from gymnasium import spaces

from art_gym.envs.observations import TIME


def require_number(name: str, value: Any, low: float, high: float = math.inf) -> float:
    """The number as a float. Raises a ValueError with value and range if it is not finite and within [low, high]."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not low <= number <= high or math.isinf(number):
        expected = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"{name} must be a number {expected}, got {value!r}")
    return number


def require_time(space: spaces.Space[Any] | None) -> None:
    """Raise a ValueError unless observations are flat and begin with the group "time".

    The bounds identify the group, since only "time" lies within [0, 1]. Levels of the grid reach down to −1, and
    statistics of the latents to −10.
    """
    first = slice(len(TIME))
    if not (
        isinstance(space, spaces.Box)
        and len(space.shape) == 1
        and space.shape[0] >= len(TIME)
        and (space.low[first] == 0).all()
        and (space.high[first] == 1).all()
    ):
        raise ValueError(
            "the observation holds the clock, so it must be flat, with the observation group 'time' first: make the "
            f"environment with observation=['time', …], got the space {space}"
        )
