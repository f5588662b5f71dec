"""Checks of what agents and parts of your own give to the core."""

from __future__ import annotations

import math

import numpy as np

from art_gym.envs.rewards.base import Components, Reward

ACTION_BOUND = 1.0
_LOWEST, _HIGHEST = np.array(-ACTION_BOUND), np.array(ACTION_BOUND)


def checked_actions(actions: object, shape: tuple[int, ...]) -> np.ndarray:
    """Actions as float64, clipped to [−1, 1]. Raises a ValueError for a wrong shape or a NaN."""
    array = np.asarray(actions, np.float64)
    if array.shape != shape:
        raise ValueError(f"expected an action of shape {shape}, got {array.shape}")
    clipped: np.ndarray = np.minimum(np.maximum(array, _LOWEST), _HIGHEST)  # np.clip takes three times as long
    if not all_finite(clipped):
        where = f" in {np.isnan(clipped).sum()} of {len(array)} environments" if len(array) > 1 else ""
        raise ValueError(f"the action is NaN{where}: check the agent's network and learning rate")
    return clipped


def checked_pair(found: object, shape: tuple[int, ...], reward: Reward) -> tuple[np.ndarray, Components]:
    """What a reward returned. Raises a ValueError unless it is (E,) finite rewards and a dictionary of (E,) arrays."""
    rewards, components = found if isinstance(found, tuple) and len(found) == 2 else (None, None)
    if not (isinstance(rewards, np.ndarray) and rewards.shape == shape and isinstance(components, dict)):
        raise ValueError(
            f"the reward {name_of(reward)} must return a pair: an array of shape {shape}, a reward for each "
            f"environment, and a dictionary of arrays of that shape, which may be empty; got {short(found)}"
        )
    if not all_finite(rewards):
        raise ValueError(
            f"the reward {name_of(reward)} must be finite, got {short(rewards)}: no agent learns from that, so look "
            f"for a logarithm of 0 or a division by 0 in it"
        )
    for key, value in components.items():
        if not (isinstance(value, np.ndarray) and value.shape == shape):
            raise ValueError(
                f"the reward {name_of(reward)} must give an array of shape {shape} as {key!r} in its dictionary, a "
                f"value for each environment or NaN, got {short(value)}"
            )
    return rewards, components


def all_finite(values: np.ndarray) -> bool:
    """Whether there is no NaN and no infinity among values."""
    # With one environment, another numpy call would take noticeable time.
    return math.isfinite(values.item() if values.size == 1 else np.add.reduce(values, axis=None))


def name_of(part: object) -> str:
    """The name of a function, or of an object's class."""
    return getattr(part, "__name__", type(part).__name__)


def short(value: object) -> str:
    """The beginning of the value's repr, in one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}…"
