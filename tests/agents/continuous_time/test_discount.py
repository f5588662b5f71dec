"""Discounts by clock time. Without a rate they equal SB3's with γ = 1. They discount an episode by e^{−β}."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import VecNormalize

from art_gym.agents.continuous_time.critic import CRITICS
from art_gym.agents.continuous_time.discount import ClockRolloutBuffer
from art_gym.agents.training.hyperparams import clock_buffer
from art_gym.envs.sb3 import ARTDiffusionVecEnv


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


@pytest.mark.parametrize("kind", [PPO, SAC])
@pytest.mark.parametrize("groups", [["grid"], ["latents", "time"]])
def test_observations_without_a_clock_are_refused(kind: type, groups: list[str]) -> None:
    env = ARTDiffusionVecEnv(2, "mixture_1d", population=4, observation=groups)
    with pytest.raises(ValueError, match="observation group 'time' first"):
        kind("MlpPolicy", env, **clock_buffer(kind, 0.5))


@pytest.mark.parametrize("rate", [-0.5, "fast", float("nan"), float("inf"), True])
@pytest.mark.parametrize("kind", [PPO, SAC])
def test_rates_that_are_none(kind: type, rate: object) -> None:
    env = ARTDiffusionVecEnv(2, "mixture_1d", population=4)
    with pytest.raises(ValueError, match=f"discount rate by clock time must be a number of at least 0, got {rate!r}"):
        kind("MlpPolicy", env, **clock_buffer(kind, rate))  # type: ignore[arg-type]


def test_normalised_observations_are_refused() -> None:
    env = VecNormalize(ARTDiffusionVecEnv(4, "mixture_1d", population=4))
    with pytest.raises(ValueError, match="leave out VecNormalize"):
        PPO("MlpPolicy", env, n_steps=14, batch_size=14, seed=0, **clock_buffer(PPO, 0.5)).learn(56)


def with_critic(critic: str, rate: float = 0.5, n_steps: int = 14) -> ClockRolloutBuffer:
    env = ARTDiffusionVecEnv(16, "mixture_1d", population=4)
    arguments = {"rollout_buffer_class": ClockRolloutBuffer, "rollout_buffer_kwargs": {"rate": rate, "critic": critic}}
    model = PPO("MlpPolicy", env, n_steps=n_steps, batch_size=16, seed=0, gae_lambda=1.0, **arguments)  # type: ignore[arg-type]
    buffer = model.learn(16 * n_steps).rollout_buffer
    assert isinstance(buffer, ClockRolloutBuffer)
    return buffer


@pytest.mark.parametrize("critic", CRITICS)
def test_linear_critic_as_the_baseline(critic: str) -> None:
    """With η = 1 the returns follow from the rewards for any baseline, which subtracts their mean."""
    buffer = with_critic(critic)
    last = buffer.observations.reshape(16, 14, -1)[:, 6, 2]  # log σ of the decision that lands
    expected = np.exp(-0.5 * (1 - last)) * buffer.rewards.T[:, 6]
    np.testing.assert_allclose(buffer.returns.reshape(16, 14)[:, 0], expected, rtol=1e-4, atol=1e-5)
    if critic == "least_squares":
        assert buffer.advantages.std() < 0.8 * buffer.returns.std()


def test_linear_critic_where_a_rollout_is_cut_off() -> None:
    assert np.isfinite(with_critic("least_squares", n_steps=10).returns).all()
