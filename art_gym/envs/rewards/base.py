"""Rewards of a sampler step. Each is an object that is called with one transition of E environments."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from art_gym.common.parts import get_part
from art_gym.common.registry import Registry
from art_gym.envs.problem import Problem
from art_gym.envs.state import Transition

Components = dict[str, np.ndarray]


class Reward(Protocol):
    """Gives (E,) rewards and named (E,) components for ``info``. NaN marks a component without a value.

    A method ``check(denoiser, population)`` is optional. It runs when an environment is made, and raises a ValueError
    if the reward cannot work.
    """

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]: ...


REWARDS: Registry[Reward] = Registry("reward", "art_gym.envs.rewards")
reward = REWARDS.presets  # decorates a frozen dataclass, with names and their field values


def get_reward(reward: str | Reward) -> Reward:
    """The reward for a name or text (`art_gym.common.parts`). An object is returned as it is. Raises as `get_part`."""
    return get_part("reward", reward, REWARDS)
