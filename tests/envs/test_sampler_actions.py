"""Actions that choose all of a step: neutral ones are the solver's own step, and others are the sampler's formula."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import art_gym  # noqa: F401
from art_gym.envs.actions.sampler import SamplerMap
from art_gym.samplers.coefficients import Coefficients, follow
from art_gym.solvers.loop import integrate

EVERY = ["sampler", "weights", "told_weights", "sampler?memory=1", "sampler?memory=4", "sampler?memory=1&told=false"]


def played(env: gym.Env, actions: np.ndarray) -> tuple[np.ndarray, Coefficients]:
    """Latents at the start, and the sampler that the actions chose."""
    env.reset(seed=3)
    core = env.unwrapped
    start = core.state.x[0].copy()
    for action in actions:
        *_, terminated, truncated, _ = env.step(action)
    assert terminated
    assert not truncated
    state = core.state
    return start, Coefficients(np.append(state.grid[0], 0.0), state.told[0], state.weights[0])


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
@pytest.mark.parametrize("action", EVERY)
def test_a_neutral_action_is_the_solvers_own_step(action: str, solver: str) -> None:
    env = gym.make("ARTDiffusion-v0", action=action, solver=solver, num_steps=6, population=4)
    assert env.action_space.contains(np.zeros(env.action_space.shape, np.float32))
    start, made = played(env, np.zeros((6, *env.action_space.shape), np.float32))
    core = env.unwrapped
    if "memory=1" not in action or solver == "euler":  # 2M needs a memory of two estimates
        expected = integrate(core.core.problem.denoiser, made.sigmas, start, solver)
        np.testing.assert_allclose(core.state.x[0], expected, atol=2e-4)
    np.testing.assert_array_equal(made.told, 1.0)


@pytest.mark.parametrize("task", ["Ring2D", "Digits", "DigitsNet"])
@pytest.mark.parametrize("action", EVERY)
def test_an_episode_is_the_sampler_that_its_actions_choose(action: str, task: str) -> None:
    env = gym.make(f"ARTDiffusion-{task}-v0", action=action, solver="dpmpp_2m", num_steps=5, population=3)
    rng = np.random.default_rng(1)
    actions = rng.uniform(-0.5, 0.5, (5, *env.action_space.shape)).astype(np.float32)
    start, made = played(env, actions)
    expected = follow(env.unwrapped.core.problem.denoiser, made, start)
    np.testing.assert_allclose(env.unwrapped.state.x[0], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert (made.told * made.sigmas[:-1] <= env.unwrapped.core.problem.denoiser.sigma_max * (1 + 1e-9)).all()


@pytest.mark.parametrize("action", EVERY)
def test_actions_can_be_found_for_a_sampler(action: str) -> None:
    """`SamplerMap.action` inverts the map within its range."""
    env = gym.make_vec("ARTDiffusion-v0", num_envs=8, action=action, num_steps=5, population=1)
    core = env.core
    state, rng = core.denoise(core.start(np.arange(8)[:, None], np.full(8, 5))), np.random.default_rng(0)
    parts = core.problem.solver, core.problem.denoiser
    for step in range(5):
        chosen = rng.uniform(-0.9, 0.9, (8, core.action_size))
        steering = core.action_map(chosen, state, *parts)
        found = core.action_map.action(steering, state, *parts)
        again = core.action_map(found, state, *parts)
        for ours, theirs in zip(steering, again, strict=True):
            if step < 4 or ours is steering.weights:  # a landing has no size and no next call
                np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
        state = core.denoise(core.move(state, chosen)[0])


@pytest.mark.parametrize("action", EVERY)
def test_one_call_a_step(action: str) -> None:
    env = gym.make("ARTDiffusion-v0", action=action, num_steps=5, population=2)
    counted = env.unwrapped.core.problem.denoise
    before = counted.evaluations
    env.reset(seed=0)
    for _ in range(5):
        env.step(env.action_space.sample())
    assert counted.evaluations - before == 2 * 5


def test_the_observation_shows_what_was_chosen() -> None:
    env = gym.make("ARTDiffusion-v0", action="sampler", observation=("sampler",), num_steps=4, population=2)
    observation, _ = env.reset(seed=0)
    assert env.unwrapped.observation_names[:3] == ("told_0", "weight_1_0", "weight_2_0")
    np.testing.assert_array_equal(observation, 0)
    observation, *_ = env.step(np.array([0.0, 0.5, -0.4, 0.0], np.float32))
    state = env.unwrapped.state
    np.testing.assert_allclose(observation[[0, 3]], np.log(state.told[0, :2]), rtol=1e-6)
    assert state.told[0, 0] == pytest.approx(100**-0.4)
    assert state.told[0, 1] == pytest.approx(6 ** (np.sinh(1.5) / np.sinh(3)))
    observation, *_ = env.step(np.array([0.0, 0.5, 0.1, 0.3], np.float32))
    np.testing.assert_allclose(observation[[4, 5]], env.unwrapped.state.weights[0, 1], rtol=1e-6)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="needs a solver of one call a step, and heun makes 2"):
        gym.make("ARTDiffusion-v0", action="sampler", solver="heun")
    with pytest.raises(ValueError, match="memory must be a whole number from 1 to 8, got 9"):
        gym.make("ARTDiffusion-v0", action="sampler?memory=9")
    env = gym.make("ARTDiffusion-v0", action="sampler")
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected an action of shape \(4,\), got \(1,\)"):
        env.unwrapped.step(np.zeros(1, np.float32))
    assert SamplerMap(4, False).names == ("size", "weight_1", "weight_2", "weight_3")
