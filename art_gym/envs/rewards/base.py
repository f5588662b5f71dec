"""Rewards: what a step of the sampler is worth. Each is an object called with one transition of E environments."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from art_gym.common.parts import get_part
from art_gym.common.registry import Registry
from art_gym.envs.problem import Problem
from art_gym.envs.state import Transition

Components = dict[str, np.ndarray]


class Reward(Protocol):
    """Gives (E,) rewards and named (E,) components for ``info``, NaN where a component has no value.

    A method ``check(denoiser, population)`` is optional: it raises a ValueError where the reward cannot work, when an
    environment is made.
    """

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]: ...


REWARDS: Registry[Reward] = Registry("reward", "art_gym.envs.rewards")
reward = REWARDS.presets  # decorates a frozen dataclass: names, each with the values of the fields


def get_reward(reward: str | Reward) -> Reward:
    """The reward of that name or text (`art_gym.common.parts`); an object is handed back. Raises as `get_part`."""
    return get_part("reward", reward, REWARDS)
