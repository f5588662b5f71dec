"""Dictionary observations: the vector and the latents themselves."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import art_gym  # noqa: F401 registers the ids
from art_gym.denoisers import FunctionDenoiser
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.envs.observations import Observation

KEYS = {"task": "ring_2d", "num_steps": 4, "population": 3, "raw_latents": True}


def test_raw_latents_are_x_over_its_expected_scale() -> None:
    env = gym.make("ARTDiffusion-v0", **KEYS)
    observed, _ = env.reset(seed=1)
    assert env.observation_space.contains(observed)
    core, state = env.unwrapped.core, env.unwrapped.state
    expected = state.x[0] / np.sqrt(80.0**2 + core.problem.denoiser.data_std**2)
    np.testing.assert_allclose(observed["latents"], expected, rtol=1e-6)
    plain = gym.make("ARTDiffusion-v0", **{**KEYS, "raw_latents": False}).reset(seed=1)[0]
    np.testing.assert_array_equal(observed["features"], plain)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_vector_lanes_equal_single_environments(mode: str) -> None:
    single = gym.vector.SyncVectorEnv(
        [lambda: gym.make("ARTDiffusion-v0", **KEYS)] * 2, autoreset_mode=gym.vector.AutoresetMode(mode)
    )
    native = gym.make_vec("ARTDiffusion-v0", num_envs=2, autoreset_mode=mode, **KEYS)
    rng = np.random.default_rng(0)
    pairs = [(single.reset(seed=5)[0], native.reset(seed=5)[0])]
    for _ in range(9):
        action = rng.uniform(-1, 1, (2, 1)).astype(np.float32)
        one, many = single.step(action), native.step(action)
        pairs.append((one[0], many[0]))
        if "final_obs" in one[4]:
            for a, b in zip(one[4]["final_obs"], many[4]["final_obs"], strict=True):
                np.testing.assert_allclose(a["latents"], b["latents"], atol=1e-5)
    for a, b in pairs:
        np.testing.assert_allclose(a["latents"], b["latents"], atol=1e-5)
        np.testing.assert_allclose(a["features"], b["features"], atol=2e-2)


@pytest.mark.parametrize("solver", ["dpmpp_2m", "heun", "rk4"])
@pytest.mark.parametrize("kind", [np.float64, np.float16])
def test_whatever_floats_a_denoiser_returns_latents_are_float32(kind: type[np.floating], solver: str) -> None:
    task = FunctionDenoiser(lambda x, sigma: (x / (1 + sigma[:, None] ** 2)).astype(kind), (1,), data_std=1.0)
    env = ARTDiffusionEnv(task=task, solver=solver, num_steps=3, raw_latents=True)
    env.reset(seed=0)
    for _ in range(3):
        observed, *_ = env.step(np.zeros(1, np.float32))
        assert observed in env.observation_space
        assert env.unwrapped.state.x.dtype == np.float32


def test_the_largest_floats_give_no_nan() -> None:
    task = FunctionDenoiser(lambda x, sigma: np.full_like(x, 1e38), (64,))
    env = ARTDiffusionEnv(task=task, num_steps=3)
    with np.errstate(over="ignore", invalid="ignore"):
        env.reset(seed=0)
        observed, *_ = env.step(np.zeros(1, np.float32))
    assert observed in env.observation_space


def test_unknown_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="distinct ones of time, grid, latents"):
        Observation(("time", "pixels"))


def test_groups_may_be_a_list() -> None:
    by_list, by_tuple = (
        gym.make("ARTDiffusion-v0", task="ring_2d", observation=kind(["grid", "time"])) for kind in (list, tuple)
    )
    np.testing.assert_array_equal(by_list.reset(seed=1)[0], by_tuple.reset(seed=1)[0])
    env = by_list.unwrapped
    observed = Observation(["grid", "time"])(env.state, env.core.problem, env.core.max_steps)  # type: ignore[arg-type]
    np.testing.assert_array_equal(observed[0], by_tuple.reset(seed=1)[0])
