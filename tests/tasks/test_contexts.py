"""A network with another setting in each episode: each setting is the task that has it alone."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import art_gym  # noqa: F401 registers the ids
from art_gym.tasks.families.base import ROWS
from art_gym.tasks.inpaint_context import InpaintContext
from art_gym.tasks.registry import get_task

ENV = "ARTDiffusion-ContextInpaint-v0"


def test_a_batch_of_contexts_agrees_with_each_alone() -> None:
    task = get_task("context_inpaint")
    assert isinstance(task, InpaintContext)
    rng = np.random.default_rng(0)
    x = task.arrange((task.sigma_max * rng.standard_normal((4 * ROWS, *task.shape))).astype(np.float32), 0)
    numbers = task.condition(x)
    assert numbers.tolist() == np.repeat(range(4), ROWS).tolist()
    sigma = np.full(len(x), 1.5, np.float32)
    found = task(x, sigma)
    np.testing.assert_array_equal(found[:, 1:], x[:, 1:])
    for number in range(4):
        rows = numbers == number
        alone = task.model(number)(x[rows, :2], sigma[rows])
        np.testing.assert_allclose(found[rows, :1], alone[:, :1], atol=1e-5)
    assert len({found[numbers == number, 0].tobytes() for number in range(4)}) == 4


def test_known_columns_are_given() -> None:
    """None of them, or all of them; more than that is refused."""
    rng = np.random.default_rng(1)
    x = (40 * rng.standard_normal((2, 2, 8, 8))).astype(np.float32)
    sigma = np.full(2, 3.0, np.float32)
    none, all_of_them = (get_task(f"digits_inpaint?known={share}") for share in (0, 1))
    np.testing.assert_allclose(none(x, sigma)[:, :1], get_task("digits_net")(x[:, :1], sigma), atol=1e-5)
    moved = x + 5 * (np.arange(2) == 0)[:, None, None].astype(np.float32)  # the image, and not what it carries
    np.testing.assert_array_equal(all_of_them(x, sigma)[:, :1], all_of_them(moved, sigma)[:, :1])
    with pytest.raises(ValueError, match=r"known must be a share of the columns from 0 to 1, got 1\.5"):
        get_task("digits_inpaint?known=1.5")


def test_the_context_is_observed_or_hidden() -> None:
    env = gym.make(ENV)
    at = env.get_wrapper_attr("observation_names").index("context")
    seen = []
    for number in range(4):
        rows = np.arange(ROWS) + ROWS * number
        seen.append(env.reset(options={"noise": rows})[0][at])
    np.testing.assert_allclose(seen, [0, 1 / 3, 2 / 3, 1])
    hidden = gym.make(ENV, observation=("time", "grid"))
    observed = [hidden.reset(options={"noise": np.arange(ROWS) + ROWS * number})[0] for number in range(4)]
    assert all(np.array_equal(observed[0], other) for other in observed[1:])


def test_the_probe_tells_some_of_the_context() -> None:
    env = gym.make(ENV, observation=("probe",))
    observed = [env.reset(options={"noise": np.arange(ROWS) + ROWS * number})[0] for number in range(4)]
    assert len({one.tobytes() for one in observed}) == 4


def test_the_number_of_a_random_model_is_observed() -> None:
    env = gym.make("ARTDiffusion-Context-v0", observation=("context",))
    assert env.reset(options={"noise": np.arange(ROWS) + 15 * ROWS})[0] == pytest.approx([1.0])
    assert gym.make("ARTDiffusion-Gaussian1D-v0", observation=("context",)).reset(seed=0)[0] == pytest.approx([0.0])
