"""A schedule gives the samples of the bare loop, and a policy those of its environment."""

from __future__ import annotations

import numpy as np
import pytest

import art_gym
from art_gym.denoisers.base import Counted
from art_gym.envs.config import load_config
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.solvers.loop import integrate
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.registry import get_task


def policy(observation: np.ndarray) -> np.ndarray:
    return np.sin(40 * observation[:, 2:3])


def test_a_schedule_is_the_bare_loop() -> None:
    denoiser = get_task("ring_2d")
    noise = np.random.default_rng(0).standard_normal((16, 2)).astype(np.float32)
    found = art_gym.sample(denoiser, [80.0, 2.0, 0.3, 0.0], noise, "heun")
    np.testing.assert_array_equal(found.samples, integrate(denoiser, np.array([80, 2, 0.3, 0]), 80 * noise, "heun"))
    assert found.sigmas.shape == (16, 4)


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
def test_a_policy_does_what_it_does_in_the_environment(solver: str) -> None:
    denoiser, rows = get_task("mixture_1d"), np.arange(8)
    env = ARTDiffusionEnv("mixture_1d", solver=solver, num_steps=6, population=4)
    bank = get_bank(denoiser, "train", 4096)
    bank.ensure(8)
    config = load_config("mixture_1d", num_steps=6, population=4)
    adaptive = art_gym.AdaptivePolicy(policy, config, 6)
    found = art_gym.sample(denoiser, adaptive, bank.start[:8] / np.float32(denoiser.sigma_max), solver)
    for lane in range(2):
        observation, _ = env.reset(options={"noise": rows[4 * lane : 4 * lane + 4]})
        done = False
        while not done:
            observation, _, done, _, _ = env.step(policy(observation[None])[0])
        np.testing.assert_allclose(found.samples[4 * lane : 4 * lane + 4], env.state.x[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.sigmas[4 * lane, :6], env.state.grid[0], rtol=1e-6)


def test_levels_beyond_the_noise_range() -> None:
    ring, noise = get_task("ring_2d"), np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"level 10000 is outside the noise range of GaussianMixture, 0\.002 to 80"):
        art_gym.sample(ring, [1e4, 1.0, 0.0], noise)
    with pytest.raises(ValueError, match=r"level 0\.001 is outside"):
        art_gym.sample(ring, [80.0, 0.001, 0.0], noise)
    art_gym.sample(ring, [80.000001, 0.00199999, 0.0], noise)  # within rounding of the range


def test_values_that_are_not_finite_name_their_level() -> None:
    def broken(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.where(sigma[:, None] < 1, np.nan, x / (1 + sigma[:, None] ** 2))

    with pytest.raises(ValueError, match=r"not finite at sigma = 0\.5: check its noise range, 0\.002 to 80"):
        art_gym.sample(art_gym.FunctionDenoiser(broken, (2,)), [80.0, 2.0, 0.5, 0.0], np.ones((3, 2)))


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"expected noise of shape \(B, 2\), got \(4, 3\)"):
        art_gym.sample(get_task("ring_2d"), [80.0, 0.0], np.zeros((4, 3)))
    adaptive = art_gym.AdaptivePolicy(policy, load_config("ring_2d", population=3), 7)
    with pytest.raises(ValueError, match="4 samples cannot be divided into populations of 3"):
        art_gym.sample(get_task("ring_2d"), adaptive, np.zeros((4, 2)))


def test_the_denoiser_is_checked_once() -> None:
    def in_place(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        x /= 1 + sigma.reshape(-1, 1) ** 2
        return x

    with pytest.raises(ValueError, match="FunctionDenoiser changes its argument x in place"):
        art_gym.sample(art_gym.FunctionDenoiser(in_place, (2,)), [80.0, 0.5, 0.0], np.ones((3, 2)))
    counted = Counted(get_task("ring_2d"))
    calls = []
    for _ in range(3):
        before = counted.calls
        art_gym.sample(counted, [80.0, 0.5, 0.0], np.ones((3, 2)), "euler")
        calls.append(counted.calls - before)
    assert calls == [4, 2, 2]


def test_an_object_that_takes_no_weak_reference_is_sampled_too() -> None:
    class Slotted:
        __slots__ = ()
        shape, sigma_min, sigma_max, data_std = (2,), 0.002, 80.0, 1.0

        def __call__(self, x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
            return 0 * x

    assert not art_gym.sample(Slotted(), [80.0, 0.5, 0.0], np.ones((3, 2))).samples.any()


def test_a_task_by_name_and_no_schedule_by_name() -> None:
    noise, levels = np.ones((3, 2)), [80.0, 0.5, 0.0]
    found, expected = (art_gym.sample(task, levels, noise).samples for task in ("ring_2d", get_task("ring_2d")))
    np.testing.assert_array_equal(found, expected)
    for wrong in ("edm", policy, None):
        with pytest.raises(ValueError, match=r"expected a Schedule or its \(K\+1,\) levels, got .*make_grid"):
            art_gym.sample("ring_2d", wrong, noise)
    with pytest.raises(ValueError, match=r"levels of a schedule must be numbers, got \('a', 0\)"):
        art_gym.sample("ring_2d", ["a", 0], noise)
