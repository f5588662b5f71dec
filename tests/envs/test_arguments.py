"""Arguments of environments and options of a reset."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import art_gym
from art_gym import FunctionDenoiser
from art_gym.envs.actions.fraction import FractionMap
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.envs.observations import GROUPS, Observation
from art_gym.envs.rewards.endpoints import LogRatio
from art_gym.envs.vector_env import ARTDiffusionVectorEnv
from helpers.rollouts import rollout

DEFAULT = "ARTDiffusion-Gaussian1D-v0"
pytestmark = pytest.mark.filterwarnings("error")


def random_actions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 1)).astype(np.float32)


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
        ({"num_envs": 0}, "num_envs must be a whole number from 1 to 65536, got 0"),
        ({"num_envs": True}, "num_envs must be a whole number from 1 to 65536, got True"),
        ({"num_envs": "3"}, "num_envs must be a whole number from 1 to 65536, got '3'"),
        ({"autoreset_mode": "SAME_STEP"}, "unknown autoreset_mode 'SAME_STEP': choose one of NextStep, SameStep"),
        (
            {"render_mode": "human"},
            "unknown render_mode of a vector environment",
        ),
    ],
)
def test_bad_arguments_of_the_vector_environment(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ARTDiffusionVectorEnv(**arguments)
