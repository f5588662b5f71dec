"""What a person can only have meant by mistake is refused by environments: actions, seeds, options, names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import art_gym
from art_gym.agents.runs.config import TrainConfig
from art_gym.common.messages import LONGEST, short
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.envs.vector_env import ARTDiffusionVectorEnv
from helpers.strangers import label, refusal

ENV = "ARTDiffusion-Gaussian1D-v0"


class Broken:
    """An object whose own methods raise."""

    def __array__(self, *_: object) -> np.ndarray:
        raise RuntimeError("no array\nat all")

    def __repr__(self) -> str:
        raise RuntimeError("no text")


ACTIONS = [
    "0.5",
    ["0.5"],
    [b"0.5"],
    np.array(["0.5"]),
    np.array([b"0.5"]),
    [0.5j],
    np.array([0.5 + 0j]),
    np.ma.array([0.5], mask=[True]),
    np.ma.array([0.5], mask=[False]),
    np.array(["2026-01-01"], "datetime64[D]"),
    np.array([1], "timedelta64[s]"),
    [datetime(2026, 1, 1)],
    [True],
    np.array([True]),
    [None],
    None,
    {},
    {0.5},
    [{}],
    [[0.5]],
    [0.5, 0.5],
    [],
    0.5,
    [Decimal("0.5")],
    [10**400],
    np.array([0.5], object),
    [float("nan")],
    [[0.5], [0.5, 0.5]],
    Broken(),
    [Broken()],
]


@pytest.mark.parametrize("action", ACTIONS, ids=map(label, ACTIONS))
def test_actions(action: Any) -> None:
    env = ARTDiffusionEnv("gaussian_1d", num_steps=3, population=2)
    env.reset(seed=0)
    assert refusal(lambda: env.step(action)) is not None
    lanes = ARTDiffusionVectorEnv(1, "gaussian_1d", num_steps=3, population=2)
    lanes.reset(seed=0)
    if not isinstance(action, list) or action != [[0.5]]:  # which is right here
        assert refusal(lambda: lanes.step(action)) is not None


@pytest.mark.parametrize(
    "action", [[0.5], (0.5,), [1], np.float32([0.5]), np.array([1]), torch.tensor([0.5]), np.array([0.5], ">f8")]
)
def test_actions_that_are_numbers(action: Any) -> None:
    env = ARTDiffusionEnv("gaussian_1d", num_steps=3, population=2)
    env.reset(seed=0)
    assert np.isfinite(env.step(action)[1])


SEEDS = [True, False, np.True_, 2**64, 2**70, 10**400, -1, 1.0, 1.5, "1", b"1", [1], {}, 1j, float("nan"), Broken()]


@pytest.mark.parametrize("seed", SEEDS, ids=map(label, SEEDS))
def test_seeds(seed: Any) -> None:
    env, lanes = ARTDiffusionEnv("gaussian_1d"), ARTDiffusionVectorEnv(2, "gaussian_1d")
    assert "seed" in str(refusal(lambda: env.reset(seed=seed)))
    assert "seed" in str(refusal(lambda: lanes.reset(seed=seed)))
    assert "seed" in str(refusal(lambda: lanes.reset(seed=[seed, 1])))
    assert refusal(lambda: TrainConfig(seed=seed)) is not None


@pytest.mark.parametrize("seed", [None, 0, 1, 2**32, 2**63, 2**64 - 2, np.int64(3), np.uint64(2**63)])
def test_seeds_that_are_ones(seed: Any) -> None:
    for env in (ARTDiffusionEnv("gaussian_1d"), ARTDiffusionVectorEnv(2, "gaussian_1d")):
        first, _ = env.reset(seed=seed)
        again, _ = env.reset(seed=env.np_random_seed)  # type: ignore[arg-type]
        np.testing.assert_array_equal(first, again)


OPTIONS = [
    [],
    (),
    "",
    0,
    False,
    [1],
    "noise",
    {"nose": [0, 1]},
    {1: 2},
    {"noise": [[0, 1]]},
    {"noise": [[0], [1]]},
    {"noise": [0]},
    {"noise": [0, 1, 2]},
    {"noise": 0},
    {"noise": []},
    {"noise": [0.0, 1.0]},
    {"noise": [True, False]},
    {"noise": ["0", "1"]},
    {"noise": [0, -1]},
    {"noise": [0, 10**9]},
    {"noise": [0, 10**400]},
    {"noise": [[0], [0, 1]]},
    {"noise": np.ma.array([0, 1], mask=[0, 1])},
    {"noise": None},
    {"noise": Broken()},
    {"num_steps": [[3]]},
    {"num_steps": [3, 3]},
    {"num_steps": 3.0},
    {"num_steps": True},
    {"num_steps": "3"},
    {"num_steps": 10**400},
    {"num_steps": []},
    {"num_steps": None},
    {"num_steps": Broken()},
]


@pytest.mark.parametrize("options", OPTIONS, ids=map(label, OPTIONS))
def test_options(options: Any) -> None:
    env = ARTDiffusionEnv("gaussian_1d", num_steps=(2, 4), population=2)
    assert refusal(lambda: env.reset(seed=0, options=options)) is not None
    lanes = ARTDiffusionVectorEnv(2, "gaussian_1d", num_steps=(2, 4), population=2)
    if short(options) != short({"num_steps": [3, 3]}):  # which is right here
        assert refusal(lambda: lanes.reset(seed=0, options=options)) is not None


MODES = [5, 1.5, True, [], {}, ("human",), ["rgb_array"], np.array([1, 2]), b"human", Broken(), object, "text", ""]


@pytest.mark.parametrize("mode", MODES, ids=map(label, MODES))
def test_modes(mode: Any) -> None:
    for make in (
        lambda: ARTDiffusionEnv("gaussian_1d", render_mode=mode),
        lambda: ARTDiffusionVectorEnv(2, "gaussian_1d", render_mode=mode),
        lambda: ARTDiffusionVectorEnv(2, "gaussian_1d", autoreset_mode=mode),
    ):
        assert "choose one of" in str(refusal(make))
    if not isinstance(mode, str):
        assert "choose one of" in str(refusal(lambda: gym.make(ENV, render_mode=mode)))


TEXTS = [
    "digits?",
    "digits_class?",
    "digits_class?guidance=1&guidance=2",
    "digits_class?guidance=1&guidance=1",
    "digits_class?guidance",
    "digits_class?guidance=",
    "digits_class?=1",
    "digits_class?guidance=1&",
    "digits_class?&guidance=1",
    "digits_class?guidance=nan",
    "digits_class?guidance=1e400",
    "digits_class?guidance=[1]",
    "digits_class?guidance={}",
    "digits_class?Guidance=1",
    "digits_class??guidance=1",
    "?",
    "",
    "digits ",
]


@pytest.mark.parametrize("text", TEXTS)
def test_tasks_by_name(text: str) -> None:
    assert refusal(lambda: art_gym.get_task(text)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "log_ratio?",
        "log_ratio?power=1&power=2",
        "log_ratio?power=nan",
        "log_ratio?power=1e400",
        "log_ratio?power=2.5",
        "log_ratio?power=true",
        "log_ratio?power=[2]",
        "log_ratio?images=1",
        "log_ratio?images=yes",
        "log_ratio?powers=1",
        "json:loads?s=1",
        "json:nothing",
    ],
)
def test_rewards_by_name(text: str) -> None:
    assert refusal(lambda: ARTDiffusionEnv("gaussian_1d", reward=text)) is not None


@pytest.mark.parametrize("part", [lambda *_: None, min, Broken().__array__, type("Mine", (), {"__call__": min})()])
@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_parts_that_no_spec_can_hold(make: Callable[..., object], part: object) -> None:
    said = refusal(lambda: make(ENV, reward=part))
    assert said is not None or part is min  # which builtins names


LONG = [*ACTIONS, "x" * 10**6, [0] * 10**6, np.zeros((100, 100)), 10**5000, "a\nb\r\tc"]


@pytest.mark.parametrize("value", LONG, ids=label)
def test_values_in_messages_are_short(value: object) -> None:
    said = short(value)
    assert said
    assert len(said) <= LONGEST + 1
    assert "\n" not in said
