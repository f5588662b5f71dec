"""ART-RL learns what the closed form says, and behaves as an algorithm of stable-baselines3."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from art_gym.agents.continuous_time import ARTRL
from art_gym.agents.continuous_time.policy import ClockPolicy
from art_gym.agents.studies.art_rl import train_art_rl
from art_gym.agents.studies.theory import cost_ratio
from art_gym.envs.sb3 import ARTDiffusionVecEnv
from art_gym.tasks.registry import get_task

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


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["normalised", "multiplier"])
def test_learns_the_closed_form(budget: str) -> None:
    """A fifth of the shipped training comes within 2 % of the optimal cost. The first clock is 26 % above it."""
    task = get_task("mixture_1d")
    first = train_art_rl("mixture_1d", 0, 0.004, policy_kwargs={"budget": budget}).model
    learned = train_art_rl("mixture_1d", 0, 0.2, policy_kwargs={"budget": budget}).model
    assert cost_ratio(learned, task, 512) < 1.02 < 1.2 < cost_ratio(first, task, 512)
    levels = learned.levels(10)
    assert levels[0] == task.sigma_max
    assert levels[-1] == 0
    assert (np.diff(levels) < 0).all()


def test_the_multiplier_settles_where_it_is_far_from_its_start() -> None:
    """On Gaussian1D γ = −2 |Q| θ at the end of the clock is about −0.8; without damping it swings to −7 and beyond."""
    model = train_art_rl("gaussian_1d", 0, 0.2, policy_kwargs={"budget": "multiplier"}).model
    logged = model.logger.name_to_value
    assert logged["art_rl/clock_end"] == pytest.approx(1.0, abs=0.15)
    assert -1.2 < logged["art_rl/multiplier"] < -0.5
    assert cost_ratio(model, get_task("gaussian_1d"), 512) < 1.10


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
    np.testing.assert_array_equal(ARTRL.load(tmp_path / "model.zip").levels(9), model.levels(9))  # without one
    loaded.learn(16 * 8, reset_num_timesteps=False)
    assert loaded.num_timesteps == 3 * 16 * 8


def test_the_policy_is_saved_and_copied_as_any_other_of_sb3(tmp_path: Path) -> None:
    model, other = make().learn(16 * 8 * 2), make(1)
    model.policy.save(tmp_path / "policy.pt")
    observation = model.env.reset()
    tensor = torch.as_tensor(observation)
    alone = ClockPolicy.load(tmp_path / "policy.pt")
    other.set_parameters(model.get_parameters())
    assert model.policy.predict_values(tensor).abs().min() > 0
    for policy in (alone, other.policy):
        found, expected = (each.predict(observation, deterministic=True)[0] for each in (policy, model))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(policy.predict_values(tensor), model.policy.predict_values(tensor))


def test_values_are_those_of_the_critic() -> None:
    """V(t) is the mean over many episodes of the return from a step on."""
    model = make(population=64).learn(16 * 8 * 60)
    observation = torch.as_tensor(model.env.reset())
    first = float(model.policy.predict_values(observation).mean())
    assert first == pytest.approx(-model.logger.name_to_value["art_rl/cost"] + model.policy.temperature, rel=0.1)
    ended = model.policy.predict_values(torch.zeros_like(observation[:1]).index_fill(1, torch.tensor([0]), 1.0))
    assert abs(float(ended)) < 1e-3


def test_tensorboard_names_the_algorithm(tmp_path: Path) -> None:
    env = ARTDiffusionVecEnv(8, "mixture_1d", **ENV)
    ARTRL("ClockPolicy", env, tensorboard_log=str(tmp_path)).learn(16 * 8)
    assert [folder.name for folder in tmp_path.iterdir()] == ["ARTRL_1"]


def test_eval_callback_and_actions(tmp_path: Path) -> None:
    env = ARTDiffusionVecEnv(4, "mixture_1d", **ENV, split="heldout")
    callback = EvalCallback(env, n_eval_episodes=8, eval_freq=16, log_path=str(tmp_path), warn=False, verbose=0)
    model = make().learn(16 * 8 * 2, callback=callback)
    assert np.isfinite(callback.last_mean_reward)
    assert callback.last_mean_reward < 0
    noisy = model.predict(model.env.reset(), deterministic=False)[0]
    assert noisy.shape == (8, 1)
    assert (np.abs(noisy) <= 1).all()
    assert model.policy_for(7)(env.reset()).shape == (4, 1)


def test_the_policy_has_the_variance_of_the_theory() -> None:
    """θ ~ N(m, λ/|Q|) before it is bounded."""
    model = make()
    instant = model.policy.instant(torch.as_tensor(model.env.reset()))
    model.policy.stiffness.fill_(50.0)  # narrow, so bounds do not matter
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


class StopAt(BaseCallback):
    """Stops learning at a call of `_on_step`."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def _on_step(self) -> bool:
        return self.n_calls < self.calls


@pytest.mark.parametrize("calls", [1, 5, 21])
def test_stopped_in_the_midst_of_an_episode(calls: int) -> None:
    """The next rollout begins episodes in all lanes: its first row has t = 0, its last one lands."""
    model = make().learn(16 * 8 * 10, callback=StopAt(calls))
    model.learn(16 * 8, reset_num_timesteps=False)
    progress = model.rollout_buffer.observations[..., 0]
    np.testing.assert_allclose(progress, np.broadcast_to(np.arange(16)[:, None] / 16, (16, 8)), atol=1e-6)


def environment(**changes: object) -> gym.Env:
    return gym.make("ARTDiffusion-v0", **{**ENV, "task": "mixture_1d", **changes})


def test_one_environment_of_gymnasium() -> None:
    model = ARTRL("ClockPolicy", environment(), seed=0)
    before = model.levels(5)
    assert not np.array_equal(model.learn(16 * 2).levels(5), before)


def test_an_id_of_gymnasium() -> None:
    gym.register("ARTDiffusion-ClockTest-v0", entry_point=lambda **_: environment())
    try:
        assert ARTRL("ClockPolicy", "ARTDiffusion-ClockTest-v0").n_steps == 16
    finally:
        del gym.registry["ARTDiffusion-ClockTest-v0"]


def test_an_environment_of_others() -> None:
    with pytest.raises(ValueError, match="needs an ARTDiffusion environment"):
        ARTRL("ClockPolicy", "CartPole-v1")


def test_wrappers_that_change_observations() -> None:
    env = ARTDiffusionVecEnv(2, "mixture_1d", **ENV)
    with pytest.raises(ValueError, match="leave out VecNormalize"):
        ARTRL("ClockPolicy", VecNormalize(env))
    with pytest.raises(ValueError, match="leave out wrappers"):
        ARTRL("ClockPolicy", VecFrameStack(env, 2))


def test_an_environment_with_another_clock(tmp_path: Path) -> None:
    make().save(tmp_path / "model.zip")
    loaded = ARTRL.load(tmp_path / "model.zip", env=ARTDiffusionVecEnv(8, "mixture_1d", **{**ENV, "num_steps": 12}))
    with pytest.raises(ValueError, match="max_steps = 16, not 12"):
        loaded.learn(12 * 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trace": 1.5}, "trace must be a number from 0 to 1, got 1.5"),
        ({"trace": "much"}, "trace must be a number from 0 to 1, got 'much'"),
        ({"policy_kwargs": {"basis": 1}}, "basis must be a number of at least 2, got 1"),
        ({"policy_kwargs": {"basis": 2.5}}, "basis must be a whole number"),
        ({"policy_kwargs": {"temperature": 0.0}}, "temperature must be a number of at least 1e-06, got 0.0"),
        ({"policy_kwargs": {"budget": "none"}}, "unknown budget 'none'"),
        ({"critic": "sarsa"}, "unknown critic 'sarsa'"),
        ({"device": "cuda"}, "runs on the CPU"),
    ],
)
def test_values_out_of_range(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ARTRL("ClockPolicy", ARTDiffusionVecEnv(2, "mixture_1d", **ENV), **arguments)


@pytest.mark.parametrize("budget", ["normalised", "multiplier"])
def test_an_action_for_every_observation(budget: str) -> None:
    """For a landed episode and for zeros too."""
    env = ARTDiffusionVecEnv(2, "mixture_1d", **ENV)
    model = ARTRL("ClockPolicy", env, policy_kwargs={"budget": budget}, seed=0)
    observations = np.zeros((2, *env.observation_space.shape), np.float32)
    observations[1, 0] = 1.0
    for deterministic in (True, False):
        action, _ = model.predict(observations, deterministic=deterministic)
        assert np.isfinite(action).all()
        assert (np.abs(action) <= 1).all()


def test_the_score_has_the_variance_that_was_sampled_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """|Q|/λ comes from the profile that the rollout used, not from the one that it updates."""
    model = make()
    asked: list[torch.Tensor] = []
    precision = model.policy.precision
    monkeypatch.setattr(
        model.policy, "precision", lambda at: asked.append(model.policy.stiffness.clone()) or precision(at)
    )
    model.learn(16 * 8)
    assert len(asked) == 17  # once per step of the rollout, and once in the update
    assert all(torch.equal(profile, asked[0]) for profile in asked)
    assert not torch.equal(model.policy.stiffness, asked[0])
