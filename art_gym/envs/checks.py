"""Checks of what agents and parts of your own give to the core."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from art_gym.common.limits import SEEDS
from art_gym.common.messages import one_line, short
from art_gym.envs.rewards.base import Components, Reward

ACTION_BOUND = 1.0
_LOWEST, _HIGHEST = np.array(-ACTION_BOUND), np.array(ACTION_BOUND)


def checked_actions(actions: object, shape: tuple[int, ...]) -> np.ndarray:
    """Actions as float64, clipped to [−1, 1]. Raises a ValueError for a wrong shape, another type or a NaN."""
    try:
        array = np.asarray(actions)
    except Exception as error:  # rows of several lengths, or whatever an object's own __array__ raises
        raise ValueError(
            f"an action must be an array of numbers, got {short(actions)}: {one_line(error, 100)}"
        ) from None
    if array.dtype.kind not in "fiu" or isinstance(actions, np.ma.MaskedArray):
        raise ValueError(f"an action must be an array of real numbers, got {short(actions)}")
    if array.shape != shape:
        raise ValueError(f"expected an action of shape {shape}, got {array.shape}")
    array = array.astype(np.float64, copy=False)
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


def checked_seed(seed: object) -> int | None:
    """A seed, or None for none. Raises a ValueError unless it is a whole number from 0 to below 2⁶⁴."""
    if seed is None:
        return None
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < SEEDS:
        raise ValueError(f"a seed must be a whole number of at least 0 and below 2**64, or None, got {short(seed)}")
    return int(seed)


def fresh_seed() -> int:
    """A seed from the system's randomness. Gymnasium's own has 128 bits, more than `checked_seed` takes back."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])


def checked_options(options: object) -> dict[str, Any]:
    """The options of a reset, empty for None. Raises a ValueError for anything but a dictionary."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValueError(f"options of a reset must be a dictionary or None, got {short(options)}")
    return dict(options)


class Modes(list[str]):
    """Render modes in an environment's metadata. `gym.make` asks whether a mode is in it before anything else."""

    def __contains__(self, mode: object) -> bool:
        if mode is not None and not isinstance(mode, str):
            raise ValueError(f"render_mode must be text or None, got {short(mode)}: choose one of {', '.join(self)}")
        return super().__contains__(mode)


def checked_mode(name: str, mode: object, modes: Iterable[str | None]) -> None:
    """Raise a ValueError unless a mode is one of some names."""
    if not (mode is None or isinstance(mode, str)) or mode not in modes:
        raise ValueError(f"unknown {name} {short(mode)}: choose one of {', '.join(map(str, modes))}")
