"""The contract of every registered environment: Gymnasium's and SB3's checkers, determinism, types, bounds, errors."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import art_gym
from art_gym import FunctionDenoiser
from art_gym.envs.actions.base import ACTIONS
from art_gym.envs.actions.fraction import FractionMap
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.envs.observations import GROUPS, LIMIT, Observation
from art_gym.envs.rewards.endpoints import LogRatio
from art_gym.envs.vector_env import ARTDiffusionVectorEnv

IDS = sorted(name for name in gym.registry if name.startswith("ARTDiffusion"))
DEFAULT = "ARTDiffusion-Gaussian1D-v0"
pytestmark = pytest.mark.filterwarnings("error")
every_id = pytest.mark.parametrize("env_id", IDS)


def rollout(env: gym.Env, seed: int | None, actions: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Observations and rewards of the episodes that the actions play."""
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


def random_actions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 1)).astype(np.float32)


def test_every_task_has_an_id() -> None:
    names = {"Gaussian1D", "Mixture1D", "Ring2D", "Checkerboard2D", "Digits"}
    names |= {"DigitsNet", "DigitsClass", "DigitsInpaint", "PhotosNet"}
    names |= {"Mixture1D-PerSample", "Ring2D-PerSample"}
    assert set(IDS) == {"ARTDiffusion-v0", *(f"ARTDiffusion-{name}-v0" for name in names)}
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
    assert env.action_space == gym.spaces.Box(-1, 1, (1,), np.float32)
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
    actions = random_actions(20)
    first = rollout(gym.make(env_id, num_steps=(3, 6), population=2), 7, actions)
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
        observation, reward, terminated, truncated, info = env.step(np.zeros(1, np.float32))
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
        np.testing.assert_array_equal(array, copy)  # nothing is written to what was handed out
    assert not any(np.shares_memory(a, b) for i, a in enumerate(kept) for b in kept[:i])


@every_id
def test_info_tells_the_physical_step(env_id: str) -> None:
    env = gym.make(env_id, num_steps=5)
    env.reset(seed=0)
    sigma = env.unwrapped.core.problem.denoiser.sigma_max
    for step in range(5):
        info = env.step(random_actions(1, step)[0])[4]
        assert info["sigma"] == sigma
        assert 0 <= info["sigma_next"] < sigma
        sigma = info["sigma_next"]
        if step < 4:
            assert info["delta_log_sigma"] == pytest.approx(np.log(info["sigma_next"] / info["sigma"]))
            assert sigma >= env.unwrapped.core.problem.denoiser.sigma_min
    assert sigma == 0
    assert "delta_log_sigma" not in info


@every_id
@pytest.mark.parametrize("action", ACTIONS)
def test_random_play_stays_in_bounds(env_id: str, action: str) -> None:
    """10⁵ steps with the default map (2400 of PhotosNet), some with the others; actions at the very ends too."""
    lanes, steps = 1000, 100 if action == "fraction" else 6
    arguments = {}
    if env_id == "ARTDiffusion-PhotosNet-v0":  # a convolutional network, 50 times slower than the exact denoisers
        lanes, arguments = 24, {"noises": 32}
    env = gym.make_vec(env_id, num_envs=lanes, population=1, num_steps=(1, 12), action=action, **arguments)
    space = env.single_observation_space
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    lowest, highest = observation.min(axis=0), observation.max(axis=0)
    finite = True
    for _ in range(steps):
        chosen = np.clip(rng.uniform(-1.5, 1.5, (lanes, 1)), -1, 1).astype(np.float32)
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
        assert {name for name, moves in zip(env.observation_names, varied, strict=True) if not moves} == constant


@every_id
def test_extreme_actions(env_id: str) -> None:
    for value in (-1.0, 1.0):
        env = gym.make(env_id, num_steps=30, population=2)
        observations, rewards = rollout(env, 0, np.full((30, 1), value, np.float32))
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


def test_reset_options_pin_noise_and_budget() -> None:
    env = gym.make(DEFAULT, num_steps=(2, 9), population=3)
    first, info = env.reset(options={"noise": [5, 6, 7], "num_steps": 4})
    second, _ = env.reset(options={"noise": np.array([5, 6, 7]), "num_steps": 4})
    assert info["num_steps"] == 4
    np.testing.assert_array_equal(first, second)
    bank = env.unwrapped.core.problem.bank
    np.testing.assert_array_equal(env.unwrapped.state.x[0], bank.start[5:8])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nois": [1]}, "unknown reset option 'nois'"),
        ({"noise": [1, 2]}, "rows"),
        ({"noise": [-1, 0, 1]}, "whole numbers from 0"),
        ({"noise": [0.5, 0, 1]}, "whole numbers from 0"),
        ({"num_steps": 10}, r"configured range \(2, 9\)"),
        ({"num_steps": 2.5}, r"option 'num_steps' must be a whole number, got 2\.5"),
        ({"num_steps": "3"}, r"option 'num_steps' must be a whole number, got '3'"),
        ({"num_steps": [3, 4]}, r"takes one number, or one for each of 1, got \[3, 4\]"),
    ],
)
def test_bad_reset_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make(DEFAULT, num_steps=(2, 9), population=3).reset(options=options)


def test_the_option_for_a_single_budget_names_it() -> None:
    with pytest.raises(ValueError, match=r"option 'num_steps' must be 4, as configured, got 3$"):
        gym.make(DEFAULT, num_steps=4).reset(options={"num_steps": 3})


def test_mixed_budgets() -> None:
    env = gym.make(DEFAULT, num_steps=(3, 6))
    lengths = set()
    for seed in range(40):
        observation, info = env.reset(seed=seed)
        length, terminated = 0, False
        remaining = env.get_wrapper_attr("observation_names").index("remaining")
        assert observation[remaining] == pytest.approx(info["num_steps"] / 6)
        while not terminated:
            observation, _, terminated, _, _ = env.step(np.zeros(1, np.float32))
            length += 1
        assert length == info["num_steps"]
        assert observation[remaining] == 0
        lengths.add(length)
    assert lengths == {3, 4, 5, 6}


def test_keywords_override_the_configuration() -> None:
    env = gym.make("ARTDiffusion-v0", task="ring_2d", solver="heun", num_steps=4, population=2, observation=("time",))
    config = env.unwrapped.config
    assert (config.task, config.solver, config.num_steps, config.population) == ("ring_2d", "heun", 4, 2)
    assert env.observation_space.shape == (3,)
    assert env.unwrapped.core.problem.denoiser.shape == (2,)


@pytest.mark.parametrize("group", GROUPS)
def test_observation_groups_are_parts_of_the_whole(group: str) -> None:
    whole, part = gym.make(DEFAULT), gym.make(DEFAULT, observation=(group,))
    names = whole.get_wrapper_attr("observation_names")
    chosen = [names.index(name) for name in part.get_wrapper_attr("observation_names")]
    a, b = rollout(whole, 0, random_actions(7))[0], rollout(part, 0, random_actions(7))[0]
    np.testing.assert_array_equal(a[:, chosen], b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_step": 5}, "unknown key 'num_step' for EnvConfig: did you mean 'num_steps'"),
        ({"zzz": 5}, "unknown key 'zzz' for EnvConfig: known keys: task"),
        ({"task": "digit"}, "unknown task 'digit'"),
        ({"solver": "ddim"}, "unknown solver 'ddim'"),
        ({"action": "speed"}, "unknown action map 'speed'"),
        ({"reward": "fid"}, "unknown reward 'fid'"),
        ({"observation": ("times",)}, "observation groups"),
        ({"observation": ()}, "observation groups"),
        ({"split": "test"}, "unknown split 'test'"),
        ({"num_steps": 0}, "num_steps must be a whole number"),
        ({"num_steps": 2.0}, "num_steps must be a whole number"),
        ({"num_steps": True}, "num_steps must be a whole number"),
        ({"num_steps": (5, 3)}, "num_steps must be a whole number"),
        ({"num_steps": (5,)}, "num_steps must be a whole number"),
        ({"num_steps": "7"}, "num_steps must be a whole number"),
        ({"population": 0}, "population must be"),
        ({"population": True}, "population must be"),
        ({"noises": 0}, "noises must be"),
        ({"reward": None}, "unknown reward None"),
        ({"action": 3}, "unknown action map 3"),
        ({"reward": LogRatio}, r"reward is the class LogRatio: give an object of it, LogRatio\(\)"),
        ({"action": FractionMap}, r"action is the class FractionMap: give an object of it, FractionMap\(\)"),
        ({"observation": 3}, "observation must name groups"),
        ({"raw_latents": "no"}, "raw_latents must be True or False"),
        ({"raw_latents": True, "observation": Observation()}, "give the object raw=True instead"),
        ({"render_mode": "text"}, "render_mode 'text'"),
        ({"config": "digit"}, "no configuration 'digit'"),
        ({"task": FunctionDenoiser(np.multiply, (1,), 1.0, 1.05), "num_steps": 1000}, "do not fit between 1.05 and 1:"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ARTDiffusionEnv(**arguments)


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


def test_a_configuration_as_names_and_numbers() -> None:
    config = art_gym.load_config("ring_2d", action=FractionMap(2.0), observation=Observation(("time",)))
    found = config.to_dict()
    assert (found["task"], found["population"]) == ("ring_2d", config.population)
    assert found["action"] == "fraction?sharpness=2.0"
    assert (found["observation"], found["raw_latents"]) == (("time",), False)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    env = gym.make(DEFAULT, num_steps=(np.int64(2), np.int64(4)), population=np.int32(3)).unwrapped
    assert env.config == gym.make(DEFAULT, num_steps=(2, 4), population=3).unwrapped.config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "num_envs must be a whole number of at least 1, got 0"),
        ({"num_envs": True}, "num_envs must be a whole number of at least 1, got True"),
        ({"num_envs": "3"}, "num_envs must be a whole number of at least 1, got '3'"),
        ({"autoreset_mode": "SAME_STEP"}, "unknown autoreset_mode 'SAME_STEP': choose one of NextStep, SameStep"),
        ({"render_mode": "human"}, "renders with render_mode='rgb_array'"),
    ],
)
def test_bad_arguments_of_the_vector_environment(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ARTDiffusionVectorEnv(**arguments)


def test_spawned_subprocesses() -> None:
    def make() -> gym.Env:
        return gym.make(f"art_gym:{DEFAULT}", num_steps=2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the machinery that starts processes
        env = AsyncVectorEnv([make, make], context="spawn")
    try:
        observation, _ = env.reset(seed=3)
        np.testing.assert_array_equal(observation[1], make().reset(seed=4)[0])
        env.step(np.zeros((2, 1), np.float32))
        assert env.step(np.zeros((2, 1), np.float32))[2].all()
    finally:
        env.close()


def python(code: str, environment: dict[str, str] | None = None) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_import_is_quick_and_light() -> None:
    code = (
        "import time; start = time.perf_counter(); import art_gym; seconds = time.perf_counter() - start\n"
        "import sys; heavy = {'torch', 'scipy', 'matplotlib', 'yaml'} & set(sys.modules); print(seconds, *heavy)"
    )
    runs = [python(code).split() for _ in range(5)]
    assert all(not heavy for _, *heavy in runs)
    assert min(float(seconds) for seconds, *_ in runs) < 0.3  # the least of five: the machine may be busy


@pytest.mark.parametrize(
    ("task", "cached"),
    [("'digits'", 0), ("'checkerboard_2d'", 0), ("GaussianMixture([[1.0, 0.0], [0.0, 0.0]], 0.3)", 1)],
)
def test_first_reset_is_quick(task: str, cached: int, tmp_path: Path) -> None:
    """From the import to the first reset, with an empty cache and with a filled one; some endpoints are shipped."""
    code = (
        "import time; start = time.perf_counter(); import gymnasium\n"
        "from art_gym.denoisers import GaussianMixture\n"
        "from art_gym.envs.env import ARTDiffusionEnv\n"
        f"env = ARTDiffusionEnv(task={task})\n"
        "env.reset(seed=0); print(time.perf_counter() - start)"
    )
    environment = {**os.environ, "ART_GYM_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    cold, *warm = (float(python(code, environment)) for _ in range(4))
    assert len(list(tmp_path.rglob("*.npz"))) == cached
    assert cold < 5 * 2  # an idle machine takes 2 s; twice the bar for one that is busy
    assert min(warm) < 1


def test_reset_and_step_do_without_torch() -> None:
    code = (
        "import sys, numpy, gymnasium\n"
        f"env = gymnasium.make('art_gym:{DEFAULT}'); env.reset(seed=0); env.step(numpy.zeros(1, numpy.float32))\n"
        "print(*{'torch', 'matplotlib', 'stable_baselines3', 'diffusers'} & set(sys.modules))"
    )
    assert python(code) == ""


def test_public_names_resolve() -> None:
    for name in art_gym.__all__:
        assert getattr(art_gym, name) is not None
    assert set(art_gym.__all__) <= set(dir(art_gym))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        art_gym.nothing  # noqa: B018
