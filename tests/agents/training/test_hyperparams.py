"""Hyperparameters: numbers that depend on K, schedules, defaults by id."""

from __future__ import annotations

import pytest
import sb3_contrib
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm

from art_gym.agents.algorithms.base import DISCRETE, algorithm_class
from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.training.hyperparams import load_hyperparams, overridden, resolve_numbers
from art_gym.agents.training.setup import Setup
from art_gym.envs.sb3 import ARTDiffusionVecEnv
from art_gym.tasks.references import Reference


def test_numbers() -> None:
    values = resolve_numbers({"a": "4K", "b": "1e-3", "c": "lin_2e-3", "d": {"e": "256"}, "f": "auto"}, num_steps=7)
    assert values["a"] == 28
    assert values["b"] == 1e-3
    assert repr(values["c"]) == "lin_0.002"
    assert [values["c"](progress) for progress in (1.0, 0.5, 0.0)] == [2e-3, 1e-3, 0.0]
    assert values["d"]["e"] == 256
    assert isinstance(values["d"]["e"], int)
    assert values["f"] == "auto"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("false", False), ("True", True), ("null", None), ("[64, 2K]", [64, 14]), ("{pi: [8]}", {"pi": [8]})],
)
def test_what_is_typed_on_the_command_line_is_yaml(typed: str, meant: object) -> None:
    assert resolve_numbers({"a": typed}, num_steps=7) == {"a": meant}


@pytest.mark.parametrize("typed", ["[64, ", "MlpPolicy", "2024-01-01", "lin_x"])
def test_what_is_no_value_stays_text(typed: str) -> None:
    assert resolve_numbers({"a": typed}, num_steps=7) == {"a": typed}


@pytest.mark.parametrize("algo", ["ppo", "sac", "tqc"])
def test_a_discount_of_one_belongs_to_this_task(algo: str) -> None:
    assert load_hyperparams(algo, "ARTDiffusion-v0", 7)["gamma"] == 1.0


def test_classes_by_name() -> None:
    assert algorithm_class("TQC").__module__.startswith("sb3_contrib")
    with pytest.raises(ValueError, match=r"unknown algorithm 'none': choose one of cma, defect, gradient, a2c"):
        algorithm_class("none")


@pytest.mark.filterwarnings("ignore")
def test_algorithms_of_discrete_actions_are_known() -> None:
    """A class of SB3 refuses actions only when it is made. The list here names the classes that refuse ours."""
    env = ARTDiffusionVecEnv(1, "gaussian_1d", num_steps=2)
    modules = vars(stable_baselines3) | vars(sb3_contrib)
    refused = set()
    for name, kind in modules.items():
        if isinstance(kind, type) and issubclass(kind, BaseAlgorithm):
            try:
                kind(next(iter(kind.policy_aliases)), env, _init_setup_model=False)
            except AssertionError:
                refused.add(name.lower())
    assert refused == set(DISCRETE)
    for name in ("DQN", *DISCRETE):
        with pytest.raises(ValueError, match=rf"'{name}' is for discrete .*: choose one of a2c, .* ppo, ") as said:
            algorithm_class(name)
        assert "dqn" not in str(said.value).partition("choose")[2]


def test_dots_and_dictionaries_reach_single_keys() -> None:
    shipped = {"rate": 1, "policy_kwargs": {"basis": 24, "budget": "normalised"}}
    changes = {"policy_kwargs.budget": "multiplier", "buffer_kwargs.critic": "ctd_zero", "policy_kwargs": {"basis": 8}}
    assert overridden(shipped, changes) == {
        "rate": 1,
        "policy_kwargs": {"basis": 8, "budget": "multiplier"},
        "buffer_kwargs": {"critic": "ctd_zero"},
    }
    assert shipped == {"rate": 1, "policy_kwargs": {"basis": 24, "budget": "normalised"}}


def test_ppo_with_the_clock_s_critic_by_name() -> None:
    values = {"clock_discount": "0.5", "rollout_buffer_kwargs.critic": "ctd_zero", "policy_kwargs.log_std_init": "-2"}
    model = Setup.resolve(TrainConfig("ARTDiffusion-Gaussian1D-v0", hyperparams=values)).make_model()
    assert model.rollout_buffer.rate == 0.5
    assert model.rollout_buffer.critic is not None
    assert model.policy.log_std.item() == -2
    assert model.policy.net_arch == [64, 64]


@pytest.mark.parametrize("key", ["env", "env.num_steps", "training_env.population", "warm_start.env.task"])
def test_keys_of_the_environment_are_none_of_the_algorithm(key: str) -> None:
    with pytest.raises(ValueError, match="is not a hyperparameter: set the environment's keys directly"):
        Setup.resolve(TrainConfig("ARTDiffusion-Gaussian1D-v0", hyperparams={key: "20"}))


@pytest.mark.parametrize(
    ("env_id", "task", "entry"),
    [
        ("ARTDiffusion-v0", "ring_2d", "ARTDiffusion-Ring2D-v0"),
        ("ARTDiffusion-Ring2D-v0", "digits_class?guidance=2", "ARTDiffusion-DigitsClass-v0"),
        ("ARTDiffusion-Ring2D-v0", "one_s_own", "ARTDiffusion-Ring2D-v0"),
        ("ring_2d", None, "ARTDiffusion-Ring2D-v0"),
        ("art_gym:ARTDiffusion-v0", None, "ARTDiffusion-Digits-v0"),
    ],
)
def test_hyperparameters_are_those_of_the_task(env_id: str, task: str, entry: Reference) -> None:
    assert TrainConfig(env_id, env={} if task is None else {"task": task}).hyperparams_id == entry


def test_a_task_s_own_hyperparameters_are_used_under_another_id() -> None:
    ours, same = (
        Setup.resolve(TrainConfig(env_id, "sac", env={**env, "num_steps": 7}))
        for env_id, env in (("ARTDiffusion-v0", {"task": "ring_2d"}), ("ARTDiffusion-Ring2D-v0", {}))
    )
    assert ours.hyperparams == same.hyperparams
    assert ours.n_timesteps == same.n_timesteps == 27_500 * 7
