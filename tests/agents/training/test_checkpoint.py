"""A checkpoint holds all that a model has learned, and nothing that runs code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import SAC

from art_gym.agents.continuous_time import ARTRL
from art_gym.agents.training.checkpoint import load_model, save_model
from art_gym.envs.sb3 import ARTDiffusionVecEnv

ENV = {"num_steps": 16, "population": 4, "reward": "stiffness", "action": "speed_arctan", "observation": ["time"]}


def make() -> ARTRL:
    return ARTRL("ClockPolicy", ARTDiffusionVecEnv(8, "mixture_1d", **ENV), critic="ctd_zero", seed=0)


def test_the_critic_goes_on_where_it_was(tmp_path: Path) -> None:
    """CTD(0) takes small steps, so a critic that started anew would be far away."""
    model = make().learn(16 * 8 * 5)
    save_model(model, tmp_path / "checkpoint.pt", with_buffer=True)
    loaded = make()
    load_model(loaded, tmp_path / "checkpoint.pt")
    assert np.abs(model.critic.weights).max() > 0
    np.testing.assert_array_equal(loaded.critic.weights, model.critic.weights)
    np.testing.assert_array_equal(loaded.levels(7), model.levels(7))
    assert (loaded.num_timesteps, loaded._n_updates) == (model.num_timesteps, 5)


def test_returns_over_several_steps_do_not_cross_a_resumption(tmp_path: Path) -> None:
    """It is saved in mid-episode, and another episode comes after it."""

    def made() -> SAC:
        return SAC("MlpPolicy", ARTDiffusionVecEnv(2, "gaussian_1d", num_steps=5), n_steps=5, buffer_size=100, seed=0)

    model = made().learn(2 * 7)
    save_model(model, tmp_path / "checkpoint.pt", with_buffer=True)
    assert not model.replay_buffer.timeouts[6].any()
    assert not model.replay_buffer.dones[6].any()
    loaded = made()
    load_model(loaded, tmp_path / "checkpoint.pt")
    loaded.learn(2 * 7, reset_num_timesteps=False)
    batch = loaded.replay_buffer._get_samples(np.array([5, 5, 5, 5]))
    progress = loaded.replay_buffer.next_observations[6, :, 0]
    assert set(batch.next_observations[:, 0].tolist()) <= set(progress.tolist())


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no checkpoint"):
        load_model(make(), tmp_path / "checkpoint.pt")
