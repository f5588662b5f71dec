"""ART-RL learns what the closed form says, and behaves as an algorithm of stable-baselines3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import EvalCallback

from art_gym.agents.continuous_time import ARTRL
from art_gym.agents.reproduce.art_rl import train_art_rl
from art_gym.agents.reproduce.theory import cost_ratio
from art_gym.sb3 import ARTDiffusionVecEnv
from art_gym.tasks import get_task

ENV = {
    "solver": "euler",
    "num_steps": 16,
    "population": 4,
    "reward": "stiffness",
    "action": "speed_arctan",
    "observation": ["time", "latents"],
}


def make(seed: int = 0, **changes: object) -> ARTRL:
    return ARTRL("ClockPolicy", ARTDiffusionVecEnv(8, "mixture_1d", **{**ENV, **changes}), seed=seed)


@pytest.mark.parametrize("budget", ["normalised", "multiplier"])
def test_learns_the_closed_form(budget: str) -> None:
    """A tenth of the shipped training leaves 10 % of surrogate cost; the first clock is 40 % above the optimum."""
    task = get_task("mixture_1d")
    first = train_art_rl("mixture_1d", 0, 0.004, policy_kwargs={"budget": budget}).model
    learned = train_art_rl("mixture_1d", 0, 0.15, policy_kwargs={"budget": budget}).model
    assert cost_ratio(learned, task, 512) < 1.10 < cost_ratio(first, task, 512)
    levels = learned.levels(10)
    assert levels[0] == task.sigma_max and levels[-1] == 0 and (np.diff(levels) < 0).all()


def test_same_seed_same_clock() -> None:
    clocks = [make(seed).learn(16 * 8 * 3).levels(7) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(clocks[0], clocks[1])
    assert not np.array_equal(clocks[0], clocks[2])


def test_save_and_load(tmp_path: Path) -> None:
    model = make().learn(16 * 8 * 2)
    model.save(tmp_path / "model.zip")
    loaded = ARTRL.load(tmp_path / "model.zip", env=ARTDiffusionVecEnv(8, "mixture_1d", **ENV))
    np.testing.assert_array_equal(loaded.levels(9), model.levels(9))
    observation = model.env.reset()
    np.testing.assert_array_equal(
        loaded.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
    )
    loaded.learn(16 * 8, reset_num_timesteps=False)
    assert loaded.num_timesteps == 3 * 16 * 8


def test_eval_callback_and_actions(tmp_path: Path) -> None:
    env = ARTDiffusionVecEnv(4, "mixture_1d", **ENV, split="heldout")
    callback = EvalCallback(env, n_eval_episodes=8, eval_freq=16, log_path=str(tmp_path), warn=False, verbose=0)
    model = make().learn(16 * 8 * 2, callback=callback)
    assert np.isfinite(callback.last_mean_reward) and callback.last_mean_reward < 0
    noisy = model.predict(model.env.reset(), deterministic=False)[0]
    assert noisy.shape == (8, 1) and (np.abs(noisy) <= 1).all()
    assert model.policy_for(7)(env.reset()).shape == (4, 1)


def test_the_policy_has_the_variance_of_the_theory() -> None:
    """θ ~ N(m, λ/|Q|) before it is bounded."""
    model = make()
    instant = model.policy.instant(torch.as_tensor(model.env.reset()))
    model.policy.stiffness.fill_(50.0)  # narrow, so that bounds do not matter
    observation = torch.as_tensor(model.env.reset()).repeat(4000, 1)
    repeated = model.policy.instant(observation)
    speed = model.policy.speed(repeated, model.policy(observation)[0][:, 0])
    mean = model.policy.mean(instant)[0].detach()
    assert float(speed.mean()) == pytest.approx(float(mean), rel=0.01)
    assert float(speed.std()) == pytest.approx((model.policy.temperature / 50) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": "fraction"}, "action='speed_arctan'"),
        ({"observation": ["grid"]}, "observation group 'time' first"),
        ({"reward": "log_ratio"}, "reward='stiffness'"),
        ({"num_steps": (5, 9)}, "one K for all episodes"),
    ],
)
def test_environment_that_does_not_fit(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)
