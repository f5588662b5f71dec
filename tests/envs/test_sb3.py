"""The adapter for stable-baselines3."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecMonitor

import art_gym  # noqa: F401 registers the ids
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.envs.sb3 import ARTDiffusionVecEnv

KEYS = {"num_steps": 3, "population": 4}


def test_episode_ends_as_sb3_expects() -> None:
    env = VecMonitor(ARTDiffusionVecEnv(2, "ring_2d", **KEYS))
    env.seed(5)
    env.reset()
    single = gym.make("ARTDiffusion-Ring2D-v0", **KEYS)
    single.reset(seed=6)
    action = np.full((2, 1), 0.2, np.float32)
    for step in range(3):
        observation, reward, done, infos = env.step(action)
        expected, expected_reward, terminated, _, info = single.step(action[1])
        assert reward.dtype == np.float32
        assert reward[1] == pytest.approx(expected_reward, abs=1e-4)
        assert list(done) == [step == 2] * 2 == [terminated] * 2
        assert infos[1]["TimeLimit.truncated"] is False
        assert ("terminal_observation" in infos[1]) == terminated
    np.testing.assert_allclose(infos[1]["terminal_observation"], expected, atol=2e-2)
    assert infos[1]["error"] == pytest.approx(info["error"], rel=1e-3)
    assert infos[1]["episode"]["l"] == 3
    assert infos[1]["episode"]["r"] == pytest.approx(expected_reward, abs=1e-4)
    next_start, _ = single.reset()
    np.testing.assert_allclose(observation[1], next_start, atol=2e-2)


def test_seeded_rollouts_repeat() -> None:
    def rollout(seed: int) -> np.ndarray:
        env = ARTDiffusionVecEnv(3, "mixture_1d", **KEYS)
        env.seed(seed)
        return np.stack([env.reset(), *[env.step(np.zeros((3, 1), np.float32))[0] for _ in range(7)]])

    np.testing.assert_array_equal(rollout(1), rollout(1))
    assert not np.array_equal(rollout(1), rollout(2))


def test_options_of_each_lane() -> None:
    env = ARTDiffusionVecEnv(2, "mixture_1d", num_steps=(2, 6), population=4)
    env.set_options([{"num_steps": 2, "noise": [0, 1, 2, 3]}, {"num_steps": 6, "noise": [7, 7, 8, 8]}])
    env.reset()
    np.testing.assert_array_equal(env.env._state.num_steps, [2, 6])
    np.testing.assert_array_equal(env.env._state.noise, [[0, 1, 2, 3], [7, 7, 8, 8]])
    env.set_options({"num_steps": 3})
    env.reset()
    np.testing.assert_array_equal(env.env._state.num_steps, [3, 3])
    for wrong in ([{"num_steps": 2}, {}], {"num_steps": [2, 3, 4]}, {"num_steps": 9}):
        env.set_options(wrong)
        with pytest.raises(ValueError, match="option"):
            env.reset()
        env.reset()  # is not asked again


def test_infos_of_resets() -> None:
    env = ARTDiffusionVecEnv(3, "mixture_1d", num_steps=(2, 9), population=4)
    env.seed(0)
    env.reset()
    for step in range(12):
        begun = [{"num_steps": int(num_steps), "sigma": 80.0} for num_steps in env.env._state.num_steps]
        assert env.reset_infos == begun, step
        assert [type(info["num_steps"]) for info in env.reset_infos] == [int] * 3
        env.step(np.zeros((3, 1), np.float32))


@pytest.mark.parametrize("reward", ["log_ratio", "path", "stiffness"])
def test_infos_are_those_of_the_single_environment(reward: str) -> None:
    """The physical step and the reward's components, for lanes that end and for lanes that go on."""
    keys = {"reward": reward, "population": 4}
    env = ARTDiffusionVecEnv(2, "mixture_1d", num_steps=(2, 3), **keys)
    env.set_options([{"num_steps": 2}, {"num_steps": 3}])
    env.seed(0)
    env.reset()
    single = [ARTDiffusionEnv("mixture_1d", num_steps=(2, 3), **keys) for _ in range(2)]
    for lane, one in enumerate(single):
        one.reset(seed=lane, options={"num_steps": 2 + lane})
    for step in range(3):
        *_, infos = env.step(np.zeros((2, 1), np.float32))
        for lane, one in enumerate(single):
            if step < 2 + lane:
                expected = one.step(np.zeros(1, np.float32))[4]
                found = {key: value for key, value in infos[lane].items() if key in expected}
                assert {"sigma", "sigma_next"} <= expected.keys()
                assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
                assert infos[lane].keys() - expected.keys() <= {"TimeLimit.truncated", "terminal_observation"}


def test_attributes_and_methods() -> None:
    env = ARTDiffusionVecEnv(3, "mixture_1d", **KEYS)
    assert env.get_attr("render_mode") == [None] * 3
    assert env.get_attr("config", indices=[1])[0].num_steps == 3
    assert env.get_attr("action_space") == [env.action_space] * 3  # the space of one lane
    assert env.env_is_wrapped(VecMonitor) == [False] * 3
    env.set_attr("marker", 7)
    assert env.get_attr("marker") == [7] * 3
    with pytest.raises(ValueError, match="lanes share 'marker'"):
        env.set_attr("marker", 8, indices=0)
    assert [len(result[0]) for result in env.env_method("reset", seed=3)] == [3, 3, 3]
    with pytest.raises(ValueError, match="lanes share 'reset'"):
        env.env_method("reset", indices=[0])
    with pytest.raises(ValueError, match=r"no configuration 'ARTDiffusion-Ring2D-v0'.*choose one of .*ring_2d"):
        ARTDiffusionVecEnv(3, "ARTDiffusion-Ring2D-v0")


@pytest.mark.parametrize(
    ("algorithm", "values"), [(PPO, {"n_steps": 6, "batch_size": 12}), (SAC, {"learning_starts": 8})]
)
def test_learns(algorithm: type[BaseAlgorithm], values: list[float]) -> None:
    env = ARTDiffusionVecEnv(2, "mixture_1d", **KEYS)
    model = algorithm("MlpPolicy", env, gamma=1.0, device="cpu", seed=0, **values)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    model.learn(36)
    assert any(not before[name].equal(tensor) for name, tensor in model.policy.state_dict().items())
