"""Actions that are extreme, out of range or invalid."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from art_gym.envs.actions.base import ACTIONS
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.envs.observations import LIMIT
from art_gym.envs.vector_env import ARTDiffusionVectorEnv
from helpers.rollouts import rollout

IDS = sorted(name for name in gym.registry if name.startswith("ARTDiffusion"))
DEFAULT = "ARTDiffusion-Gaussian1D-v0"
pytestmark = pytest.mark.filterwarnings("error")
every_id = pytest.mark.parametrize("env_id", IDS)


@every_id
@pytest.mark.parametrize("action", ACTIONS)
def test_random_play_stays_in_bounds(env_id: str, action: str) -> None:
    """10⁵ steps with the default map (2400 on costly networks), some with the others, also at extreme actions."""
    if action == "guidance" and "-Guidance-" not in env_id:
        with pytest.raises(ValueError, match="needs a task whose guidance can be chosen"):
            gym.make(env_id, action=action)
        return
    lanes, steps = 1000, 100 if action == "fraction" else 6
    arguments = {}
    if "MNIST" in env_id or env_id == "ARTDiffusion-PhotosNet-v0":  # 50 times slower than the exact denoisers
        lanes, arguments = 24, {"noises": 32}
    if "Procedural" in env_id and action != "fraction":
        arguments = {"solver": "dpmpp_2m"}  # two drawn solvers have no sampler of their own
    env = gym.make_vec(env_id, num_envs=lanes, population=1, num_steps=(1, 12), action=action, **arguments)
    space = env.single_observation_space
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    lowest, highest = observation.min(axis=0), observation.max(axis=0)
    finite = True
    for _ in range(steps):
        chosen = np.clip(rng.uniform(-1.5, 1.5, env.action_space.shape), -1, 1).astype(np.float32)
        observation, reward, *_ = env.step(chosen)
        lowest, highest = np.minimum(lowest, observation.min(axis=0)), np.maximum(highest, observation.max(axis=0))
        finite &= np.isfinite(reward).all()
    assert finite
    assert (lowest >= space.low).all()
    assert (highest <= space.high).all()
    if action == "fraction":
        assert np.abs([lowest, highest]).max() < LIMIT  # nothing is clipped
        varied = highest - lowest > 0.1
        constant = {"log_sigma_0", *(["std"] if env.core.problem.denoiser.shape == (1,) else [])}
        constant |= {"second_order"} & {*env.observation_names} if env.config.solver != "drawn" else set()
        constant |= {name for name in env.observation_names if name.startswith(("told_", "weight_", "log_guidance_"))}
        found = {name for name, moves in zip(env.observation_names, varied, strict=True) if not moves}
        if "Context" in env_id:  # at another scale most of the profile is the same
            found = {name for name in found if not name.startswith("stiffness_")}
        assert found == constant


@every_id
def test_extreme_actions(env_id: str) -> None:
    for value in (-1.0, 1.0):
        env = gym.make(env_id, num_steps=30, population=2)
        observations, rewards = rollout(env, 0, np.full((30, *env.action_space.shape), value, np.float32))
        assert np.isfinite(observations).all()
        assert np.isfinite(rewards).all()
        assert (np.diff(env.unwrapped.state.grid[0]) < 0).all() or np.isnan(env.unwrapped.state.grid[0, 1])


def test_actions_out_of_range_are_clipped() -> None:
    env = gym.make(DEFAULT).unwrapped
    results = []
    for action in (1.0, 3.0, np.inf):
        env.reset(seed=0)
        results.append(env.step(np.array([action], np.float32))[0])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.array([np.nan], np.float32), "the action is NaN"),
        (np.zeros(2, np.float32), r"shape \(1,\), got \(2,\)"),
        (np.zeros((1, 1), np.float32), r"shape \(1,\), got \(1, 1\)"),
        (0.3, r"shape \(1,\), got \(\)"),
    ],
)
def test_bad_actions_are_errors_and_change_nothing(action: Any, message: str) -> None:
    env = gym.make(DEFAULT).unwrapped
    env.reset(seed=0)
    before = env.state
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert env.state is before


def test_bad_actions_of_the_vector_environment() -> None:
    env = gym.make_vec(DEFAULT, num_envs=3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"shape \(3, 1\), got \(3,\)"):
        env.step(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="NaN"):
        env.step(np.array([[0], [np.nan], [0]], np.float32))


def nan_map(action: np.ndarray, *_: Any) -> np.ndarray:
    return np.where(action > 0.5, np.nan, 1.0)


def giving(component: Any) -> Any:
    """A reward with this in its dictionary."""
    return lambda transition, _: (1.0 * transition.landed, {"mine": component})


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"action": nan_map}, r"the action map nan_map must give a level for each of \d envir.*, not NaN, got array"),
        ({"action": lambda action, *_: np.ones((3, 2))}, "must give a level for each of"),
        ({"reward": lambda *_: (0.5, {})}, r"the reward <lambda> must return a pair: an array of shape \(\d,\),"),
        ({"reward": lambda *_: np.zeros(2)}, "must return a pair"),
        ({"reward": lambda *_: (np.zeros((1, 1)), {})}, "must return a pair"),
        ({"reward": lambda transition, _: (1.0 * transition.landed, 3)}, "must return a pair"),
        ({"reward": giving(np.zeros((1, 2)))}, r"array of shape \(\d,\) as 'mine' in its dictionary.*, got array"),
        ({"reward": giving(np.zeros(3))}, "array of shape"),
        ({"reward": giving(0.5)}, r"as 'mine' in its dictionary, .*, got 0\.5"),
        ({"reward": lambda transition, _: (transition.landed * np.nan, {})}, "must be finite, got array"),
        ({"reward": lambda transition, _: (transition.landed - np.inf, {})}, "must be finite, got array"),
    ],
)
def test_parts_of_one_s_own_that_give_something_else_are_named(part: dict, message: str) -> None:
    env, vector = ARTDiffusionEnv("gaussian_1d", **part), ARTDiffusionVectorEnv(2, "gaussian_1d", **part)
    for each, action in ((env, np.ones(1)), (vector, np.array([[0.0], [1.0]]))):
        each.reset(seed=0)
        with pytest.raises(ValueError, match=message) as said:
            each.step(action.astype(np.float32))
        assert "\n" not in str(said.value)
