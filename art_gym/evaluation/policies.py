"""Policies that choose each step from an observation, and a function that follows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from art_gym.envs.checks import checked_actions
from art_gym.envs.config import EnvConfig
from art_gym.envs.core import Core
from art_gym.envs.episodes import checked_budgets
from art_gym.envs.observations import Observed
from art_gym.envs.state import State

# Maps observations of E environments to (E, A) actions. A policy with a memory has `begin()`, called before a rollout.
Policy = Callable[[Observed], np.ndarray]


def follow(core: Core, policy: Policy, state: State, num_steps: int) -> State:
    """Let a policy take ``num_steps`` steps from a denoised state, without rewards. It first clears its memory.

    Raises:
        ValueError: for actions that are NaN or not of shape (E, A).
    """
    if hasattr(policy, "begin"):
        policy.begin()
    for _ in range(num_steps):
        action = checked_actions(policy(core.observe(state)), (len(state.sigma), core.action_size))
        moved, _ = core.move(state, action)
        state = core.denoise(moved)
    return state


@dataclass(frozen=True)
class AdaptivePolicy:
    """A policy, and the configuration of the environment that it acts in.

    Attributes:
        policy: maps (E, features) observations to (E, A) actions, like the ``predict`` of an SB3 model without states.
        config: the configuration that it was trained with.
        num_steps: K, within the configured range.

    Raises:
        ValueError: for a K outside the range.
    """

    policy: Policy
    config: EnvConfig
    num_steps: int

    def __post_init__(self) -> None:
        checked_budgets(self.num_steps, self.config.budgets, "num_steps")
