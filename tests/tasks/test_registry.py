"""Tasks by name, and your own tasks."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest

import art_gym
from art_gym.denoisers import GaussianMixture
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.tasks.registry import BUILT_IN, get_task, register_task, resolve, task_names


def test_register_task_in_three_lines() -> None:
    shrink = art_gym.FunctionDenoiser(lambda x, sigma: x / (1 + sigma[:, None] ** 2), shape=(2,), data_std=1.0)
    art_gym.register_task("my_gaussian", shrink)
    env = gym.make("ARTDiffusion-v0", task="my_gaussian", num_steps=3, population=5)

    env.reset(seed=0)
    for _ in range(3):
        _, reward, terminated, _, info = env.step(np.zeros(1, np.float32))
    assert terminated
    assert np.isfinite(reward)
    assert info["error"] > 0
    assert env.unwrapped.core.problem.denoiser is shrink
    assert "my_gaussian" in task_names()


def test_denoiser_object_is_a_task() -> None:
    denoiser = art_gym.FunctionDenoiser(lambda x, sigma: 0 * x, shape=(1,))
    assert resolve(denoiser) is denoiser
    env = ARTDiffusionEnv(task=denoiser, num_steps=2, population=1)
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


def test_a_replaced_task_is_replaced_with_its_options() -> None:
    def factory(scale: float = 1.0) -> art_gym.FunctionDenoiser:
        return art_gym.FunctionDenoiser(lambda x, sigma: x, shape=(1,), data_std=scale)

    register_task("replaced", factory)
    assert get_task("replaced?scale=2").data_std == 2
    register_task("replaced", lambda scale=1.0: factory(10 * scale))
    assert get_task("replaced?scale=2").data_std == 20
    with pytest.raises(ValueError, match=r"expected name=value after the question mark, got 'scale'"):
        get_task("replaced?scale")


@pytest.mark.parametrize(
    ("name", "denoiser", "message"),
    [
        ("digits", lambda: None, "built-in task"),
        ("no name", lambda: None, "identifier"),
        (3, lambda: None, "identifier"),
        ("number", 3, "must be callable"),
    ],
)
def test_registration_errors(name: str, denoiser: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        register_task(name, denoiser)  # type: ignore[arg-type]


OUTPUT = np.zeros((2, 3), np.float32)


def in_place(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    x *= 0.5
    return x


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, r"must take arrays x of shape \(2, 3\) and sigma of shape \(2,\)"),
        (lambda x, sigma: x[:, :1], r"floats of the shape of x, \(2, 3\), got float32 of shape \(2, 1\)"),
        (lambda x, sigma: x.astype(int), r"array of floats of the shape of x, \(2, 3\), got int64 of shape \(2, 3\)"),
        (lambda x, sigma: np.multiply(x, 0.5, out=OUTPUT), "overwrites its earlier output"),
        (lambda x, sigma: [x], "got a list"),
        (in_place, "changes its argument x in place"),
    ],
)
def test_a_denoiser_that_is_wrong_is_said_when_it_is_made(function: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ARTDiffusionEnv(task=art_gym.FunctionDenoiser(function, shape=(3,)))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [2, [2], (2.0,), (0,), ()])
def test_a_shape_is_a_tuple_of_sizes(shape: object) -> None:
    with pytest.raises(ValueError, match="shape must be a non-empty tuple of positive whole numbers"):
        art_gym.FunctionDenoiser(lambda x, sigma: x, shape=shape)  # type: ignore[arg-type]


def test_a_denoiser_without_a_hash_is_one() -> None:
    @dataclass
    class Shrink:  # its equality compares arrays, and it has no hash
        mean: np.ndarray
        shape: tuple[int, ...] = (2,)
        sigma_min: float = 0.01
        sigma_max: float = 10.0
        data_std: float = 1.0

        def __call__(self, x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
            return self.mean + (x - self.mean) / (1 + sigma[:, None] ** 2)

    env = ARTDiffusionEnv(task=Shrink(np.zeros(2, np.float32)), num_steps=2, population=4)
    assert np.isfinite(env.reset(seed=0)[0]).all()


def test_a_plain_function_is_told_how_to_become_a_task() -> None:
    register_task("plain_function", lambda x, sigma: x)  # taken for a factory, which has no arguments
    with pytest.raises(ValueError, match=r"cannot make the task 'plain_function': .*FunctionDenoiser"):
        get_task("plain_function")


@pytest.mark.parametrize("function", [lambda x, sigma: x, lambda x, sigma: np.broadcast_to(np.float32(2), x.shape)])
def test_a_denoiser_may_hand_back_what_it_does_not_change(function: object) -> None:
    env = ARTDiffusionEnv(task=art_gym.FunctionDenoiser(function, shape=(3,)), num_steps=2)  # type: ignore[arg-type]
    env.reset(seed=0)
    assert np.isfinite(env.step(np.zeros(1, np.float32))[0]).all()


def test_a_class_is_no_denoiser() -> None:
    with pytest.raises(ValueError, match=r"is the class GaussianMixture: give an object of it, GaussianMixture\(…\)"):
        ARTDiffusionEnv(task=GaussianMixture)


def test_an_id_s_name_is_near_the_task_s() -> None:
    with pytest.raises(ValueError, match="did you mean 'ring_2d'"):
        get_task("Ring2D")


def test_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=f"unknown task 'digit'.*{BUILT_IN[0]}.*register_task"):
        get_task("digit")


def test_a_new_task_leaves_the_others_alone() -> None:
    before = get_task("ring_2d")
    register_task("another", lambda: art_gym.FunctionDenoiser(lambda x, sigma: x, shape=(1,)))
    assert get_task("ring_2d") is before  # a new object would mean a new bank in the same process
