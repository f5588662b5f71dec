"""The contract of every registered environment: Gymnasium's and SB3's checkers, determinism, types, bounds, errors."""

from __future__ import annotations

import math
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from art_gym.envs.config import load_config
from helpers.rollouts import rollout

IDS = sorted(name for name in gym.registry if name.startswith("ARTDiffusion"))
DEFAULT = "ARTDiffusion-Gaussian1D-v0"
pytestmark = pytest.mark.filterwarnings("error")
every_id = pytest.mark.parametrize("env_id", IDS)


def random_actions(env: gym.Env, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, *env.action_space.shape)).astype(np.float32)


def test_every_task_has_an_id() -> None:
    names = {"Gaussian1D", "Mixture1D", "Ring2D", "Checkerboard2D", "Digits"}
    names |= {"DigitsNet", "DigitsClass", "DigitsInpaint", "PhotosNet", "MNIST", "MNISTClass", "MNISTInpaint"}
    names |= {"Procedural", "ProceduralValidation", "ProceduralTest", "Context", "Guidance"}
    names |= {"ContextInpaint"}
    names |= {"Mixture1D-PerSample", "Ring2D-PerSample"}
    names |= {f"{name}-Sampler" for name in names if "-" not in name} | {"Sampler"}
    assert set(IDS) == {"ARTDiffusion-v0", *(f"ARTDiffusion-{name}-v0" for name in names)}
    assert gym.make("ARTDiffusion-Sampler-v0").unwrapped.config == load_config("digits_sampler")
    assert gym.make("ARTDiffusion-v0").unwrapped.config == gym.make("ARTDiffusion-Digits-v0").unwrapped.config


@every_id
def test_gymnasium_checker(env_id: str) -> None:
    check_env(gym.make(env_id).unwrapped, skip_render_check=env_id != DEFAULT)


@every_id
def test_stable_baselines3_checker(env_id: str) -> None:
    check_env_sb3(gym.make(env_id), warn=True)


@every_id
def test_spaces(env_id: str) -> None:
    env = gym.make(env_id)
    size = 4 if "Sampler" in env_id else 2 if "-Guidance-" in env_id else 1
    assert env.action_space == gym.spaces.Box(-1, 1, (size,), np.float32)
    space = env.observation_space
    assert isinstance(space, gym.spaces.Box)
    assert space.dtype == np.float32
    assert len(space.shape) == 1
    assert np.isfinite(space.low).all()
    assert np.isfinite(space.high).all()
    names = env.get_wrapper_attr("observation_names")
    assert len(names) == space.shape[0] == len(set(names))


@every_id
def test_seed_makes_rollouts_repeatable(env_id: str) -> None:
    env = gym.make(env_id, num_steps=(3, 6), population=2)
    actions = random_actions(env, 20)
    first = rollout(env, 7, actions)
    env = gym.make(env_id, num_steps=(3, 6), population=2)
    rollout(env, 8, actions)  # a used environment starts afresh with a seed
    second = rollout(env, 7, actions)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    other = rollout(env, 8, actions)
    assert len(other[0]) != len(first[0]) or not np.array_equal(other[0], first[0])


@every_id
def test_without_a_seed_episodes_differ(env_id: str) -> None:
    env = gym.make(env_id)
    first, second = env.reset(seed=1)[0], env.reset()[0]
    assert not np.array_equal(first, second)
    assert not np.array_equal(gym.make(env_id).reset()[0], gym.make(env_id).reset()[0])


@every_id
def test_types_and_fresh_arrays(env_id: str) -> None:
    env = gym.make(env_id).unwrapped
    observation, info = env.reset(seed=0)
    kept, copies = [observation], [observation.copy()]
    assert info.keys() == {"num_steps", "sigma"}
    assert type(info["num_steps"]) is int
    terminated = False
    while not terminated:
        observation, reward, terminated, truncated, info = env.step(np.zeros(env.action_space.shape, np.float32))
        assert type(reward) is float
        assert type(terminated) is bool
        assert truncated is False
        assert type(observation) is np.ndarray
        assert observation.dtype == np.float32
        assert all(type(value) is float and math.isfinite(value) for value in info.values())
        assert observation in env.observation_space
        kept.append(observation)
        copies.append(observation.copy())
    env.reset()
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)  # earlier results stay unchanged
    assert not any(np.shares_memory(a, b) for i, a in enumerate(kept) for b in kept[:i])


@every_id
def test_info_tells_the_physical_step(env_id: str) -> None:
    env = gym.make(env_id, num_steps=5)
    env.reset(seed=0)
    sigma = env.unwrapped.core.problem.denoiser.sigma_max
    for step in range(5):
        info = env.step(random_actions(env, 1, step)[0])[4]
        assert info["sigma"] == sigma
        assert 0 <= info["sigma_next"] < sigma
        sigma = info["sigma_next"]
        if step < 4:
            assert info["delta_log_sigma"] == pytest.approx(np.log(info["sigma_next"] / info["sigma"]))
            assert sigma >= env.unwrapped.core.problem.denoiser.sigma_min
    assert sigma == 0
    assert "delta_log_sigma" not in info


def test_step_needs_a_reset() -> None:
    env = gym.make(DEFAULT, num_steps=1).unwrapped
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(1, np.float32))
    env.reset(seed=0)
    assert env.step(np.zeros(1, np.float32))[2]
    with pytest.raises(ResetNeeded, match="episode has ended"):
        env.step(np.zeros(1, np.float32))
    with pytest.raises(ResetNeeded):
        gym.make_vec(DEFAULT, num_envs=2).step(np.zeros((2, 1), np.float32))


@every_id
def test_spec_pickles(env_id: str) -> None:
    env = gym.make(env_id, num_steps=(2, 4), population=3)
    again = gym.make(pickle.loads(pickle.dumps(env.spec)))
    assert again.unwrapped.config == env.unwrapped.config
    from_json = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert from_json.unwrapped.config == env.unwrapped.config
    np.testing.assert_array_equal(again.reset(seed=0)[0], env.reset(seed=0)[0])


@pytest.mark.parametrize("env_id", [DEFAULT, "ARTDiffusion-DigitsClass-v0", "ARTDiffusion-DigitsInpaint-v0"])
def test_environment_pickles_in_mid_episode(env_id: str) -> None:
    env = gym.make(env_id).unwrapped
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    again = pickle.loads(pickle.dumps(env))
    for _ in range(6):
        mine, theirs = (each.step(np.full(1, 0.2, np.float32)) for each in (env, again))
        np.testing.assert_array_equal(mine[0], theirs[0])
        assert mine[1] == theirs[1]
    np.testing.assert_array_equal(env.reset()[0], again.reset()[0])


def test_environments_that_have_rendered_pickle() -> None:
    single = gym.make(DEFAULT, num_steps=2, render_mode="rgb_array").unwrapped
    vector = gym.make_vec(DEFAULT, num_envs=2, num_steps=2, render_mode="rgb_array")
    for env in (single, vector):
        env.reset(seed=0)
        frame = np.stack(env.render())
        again = pickle.loads(pickle.dumps(env))
        np.testing.assert_array_equal(np.stack(again.render()), frame)
        env.close()
        again.close()


def test_spawned_subprocesses() -> None:
    def make() -> gym.Env:
        return gym.make(f"art_gym:{DEFAULT}", num_steps=2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from the machinery that starts processes
        env = AsyncVectorEnv([make, make], context="spawn")
    try:
        observation, _ = env.reset(seed=3)
        np.testing.assert_array_equal(observation[1], make().reset(seed=4)[0])
        env.step(np.zeros((2, 1), np.float32))
        assert env.step(np.zeros((2, 1), np.float32))[2].all()
    finally:
        env.close()
