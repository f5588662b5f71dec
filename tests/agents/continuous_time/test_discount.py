"""Discounts by elapsed clock time: without a rate they are SB3's own with γ = 1; an episode is discounted by e^{−β}."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC

from art_gym.agents.hyperparams import clock_buffer
from art_gym.sb3 import ARTDiffusionVecEnv


def ppo(**kwargs: object) -> PPO:
    env = ARTDiffusionVecEnv(4, "mixture_1d", population=4)
    return PPO("MlpPolicy", env, gamma=1.0, n_steps=14, batch_size=14, seed=0, **kwargs).learn(56)


def test_rate_zero_is_sb3() -> None:
    plain, clocked = ppo(), ppo(**clock_buffer(PPO, 0.0))
    np.testing.assert_allclose(plain.rollout_buffer.returns, clocked.rollout_buffer.returns, atol=1e-5)


def test_episode_is_discounted_once() -> None:
    """With λ = 1 the return of the first step is e^{−β·(time to the last decision)} times the terminal reward."""
    buffer = ppo(gae_lambda=1.0, **clock_buffer(PPO, 2.0)).rollout_buffer
    observations = buffer.observations.reshape(4, 14, -1)  # the buffer flattens lane by lane
    returns, rewards = buffer.returns.reshape(4, 14), buffer.rewards.reshape(14, 4).T
    for start in (0, 7):
        last = observations[:, start + 6, 2]  # log σ of the decision that lands
        expected = np.exp(-2.0 * (1 - last)) * rewards[:, start + 6]
        np.testing.assert_allclose(returns[:, start], expected, rtol=1e-4, atol=1e-5)


def test_replay_discounts() -> None:
    env = ARTDiffusionVecEnv(4, "mixture_1d", population=4)
    model = SAC("MlpPolicy", env, seed=0, learning_starts=10, **clock_buffer(SAC, 1.5)).learn(80)
    batch = model.replay_buffer.sample(64)
    elapsed = batch.observations[:, 2] - batch.next_observations[:, 2]
    torch.testing.assert_close(batch.discounts[:, 0], torch.exp(-1.5 * elapsed))
    assert float(elapsed.min()) > 0


def test_not_for_every_algorithm() -> None:
    from stable_baselines3 import A2C

    with pytest.raises(ValueError, match="not for A2C"):
        clock_buffer(A2C, 1.0)
