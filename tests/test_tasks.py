"""Tasks by name, and tasks of one's own."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import art_gym
from art_gym.tasks import BUILT_IN, get_task, register_task, resolve, task_names


def test_register_task_in_three_lines() -> None:
    shrink = art_gym.FunctionDenoiser(lambda x, sigma: x / (1 + sigma[:, None] ** 2), shape=(2,), data_std=1.0)
    art_gym.register_task("my_gaussian", shrink)
    env = gym.make("ARTDiffusion-v0", task="my_gaussian", num_steps=3, population=5)

    env.reset(seed=0)
    for _ in range(3):
        _, reward, terminated, _, info = env.step(np.zeros(1, np.float32))
    assert terminated and np.isfinite(reward) and info["error"] > 0
    assert env.unwrapped.core.problem.denoiser is shrink
    assert "my_gaussian" in task_names()


def test_denoiser_object_is_a_task() -> None:
    denoiser = art_gym.FunctionDenoiser(lambda x, sigma: 0 * x, shape=(1,))
    assert resolve(denoiser) is denoiser
    env = gym.make("ARTDiffusion-v0", task=denoiser, num_steps=2, population=1)
    assert np.isfinite(env.reset(seed=0)[0]).all()


def test_factory_is_called_at_first_use_and_once() -> None:
    made = []

    def factory() -> art_gym.FunctionDenoiser:
        made.append(1)
        return art_gym.FunctionDenoiser(lambda x, sigma: x, shape=(1,))

    register_task("lazy_task", factory)
    assert not made
    assert get_task("lazy_task") is get_task("lazy_task")
    assert len(made) == 1


@pytest.mark.parametrize(
    ("name", "denoiser", "message"),
    [
        ("digits", lambda: None, "built-in task"),
        ("no name", lambda: None, "identifier"),
        ("number", 3, "must be callable"),
    ],
)
def test_registration_errors(name: str, denoiser: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        register_task(name, denoiser)  # type: ignore[arg-type]


def test_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=f"unknown task 'digit'.*{BUILT_IN[0]}.*register_task"):
        get_task("digit")


def test_a_new_task_leaves_the_others_alone() -> None:
    before = get_task("ring_2d")
    register_task("another", lambda: art_gym.FunctionDenoiser(lambda x, sigma: x, shape=(1,)))
    assert get_task("ring_2d") is before  # a new object would mean a new bank in the same process
