"""Episodes of an environment by given actions."""

from __future__ import annotations

import gymnasium as gym
import numpy as np


def rollout(env: gym.Env, seed: int | None, actions: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Observations and rewards of the episodes that the actions produce."""
    observation, _ = env.reset(seed=seed)
    observations, rewards = [observation], []
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        assert not truncated
        observations.append(observation)
        rewards.append(reward)
        if terminated:
            observations.append(env.reset()[0])
    return np.stack(observations), rewards
