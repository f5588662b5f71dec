"""Rewards of a step, one file for each kind."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    base="REWARDS Reward reward get_reward",
)
