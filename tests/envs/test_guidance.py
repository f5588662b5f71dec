"""Actions that choose the guidance of a step: what they do to a sample, and what the agent sees of it."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from art_gym.denoisers.base import visible
from art_gym.envs.actions.guidance import GuidanceMap, Guided
from art_gym.envs.config import load_config
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import get_task

ENV = "ARTDiffusion-Guidance-v0"
NAMES = gym.make(ENV).get_wrapper_attr("observation_names")


def played(actions: np.ndarray, **arguments: object) -> gym.Env:
    """An environment after some steps of an episode."""
    env = gym.make(ENV, population=4, **arguments).unwrapped
    env.reset(seed=5)
    for action in actions:
        env.step(action.astype(np.float32))
    return env


def test_zero_is_the_conditional_model() -> None:
    """Guidance 1 gives the samples of the same steps without guidance."""
    guided = played(np.array([[0.2, 0.0]] * 5))
    plain = played(np.full((5, 1), 0.2), action="fraction")
    np.testing.assert_allclose(guided.state.grid, plain.state.grid)
    images = [visible(env.state.x, env.core.problem.denoiser, 2) for env in (guided, plain)]
    np.testing.assert_allclose(*images, atol=1e-6)


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
def test_the_same_guidance_in_every_step_is_that_of_the_guided_model(solver: str) -> None:
    weight = 2.0
    env = played(np.array([[0.1, np.log(weight) / np.log(4)]] * 5), solver=solver)
    known = get_task(f"digits_class?guidance={weight:g}")
    start = env.core.problem.bank.start[env.state.noise[0]][:, [0, 2]]  # (N, 2, 8, 8): image and class
    samples = integrate(known, np.append(env.state.grid[0], 0.0), start, solver)
    np.testing.assert_allclose(env.state.x[0, :, :1], samples[:, :1], atol=1e-4)


def test_only_the_guidance_of_its_own_step_changes_with_an_action() -> None:
    """The landing has a guidance too."""
    plain, last = np.zeros((5, 2)), np.zeros((5, 2))
    last[4, 1] = 1.0
    first, second = (played(actions[:4]) for actions in (plain, last))
    np.testing.assert_array_equal(first.state.x, second.state.x)
    first, second = (played(actions) for actions in (plain, last))
    assert np.abs(first.state.x - second.state.x)[:, :, 0].max() > 1e-3


def test_actions_can_be_found_from_what_they_choose() -> None:
    env = played(np.zeros((1, 2)))
    action_map, denoiser = env.core.action_map, env.core.problem.denoiser
    assert isinstance(action_map, GuidanceMap)
    action = np.array([[0.3, -0.6]])
    chosen = action_map(action, env.state, denoiser)
    assert chosen.weights == pytest.approx(4**-0.6)
    np.testing.assert_allclose(action_map.action(chosen, env.state, denoiser), action)
    beyond = action_map.action(Guided(chosen.sigma_next, np.array([9.0])), env.state, denoiser)
    assert beyond[0, 1] == 1.0


def test_the_class_the_weights_and_their_effect_are_observed() -> None:
    env = gym.make(ENV, population=4).unwrapped
    observed, _ = env.reset(seed=5)
    seen = dict(zip(NAMES, observed, strict=True))
    denoiser = env.core.problem.denoiser
    (one,) = set(denoiser.condition(env.state.x[0]).tolist())
    assert [seen[f"class_{i}"] for i in range(10)] == [float(i == one) for i in range(10)]
    assert all(seen[f"log_guidance_{k}"] == 0 for k in range(5))
    direction = env.state.denoised[0, :, 1]
    assert seen["direction_rms"] == pytest.approx(np.sqrt((direction**2).mean()) / denoiser.data_std)
    observed = env.step(np.array([0.0, 0.5], np.float32))[0]
    seen = dict(zip(NAMES, observed, strict=True))
    assert seen["log_guidance_0"] == pytest.approx(np.log(2))
    assert seen["log_guidance_1"] == 0


def test_where_nothing_is_guided_the_group_is_empty() -> None:
    env = gym.make("ARTDiffusion-Gaussian1D-v0", observation=("guidance",))
    assert not env.reset(seed=0)[0].any()


def test_weights_of_a_sampler_are_no_guidance() -> None:
    env = gym.make(ENV, population=4, action="weights", observation=("guidance",))
    env.reset(seed=0)
    for _ in range(3):
        observed = env.step(np.array([0.0, -0.9], np.float32))[0]
    assert not observed[10:15].any()


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"action='guidance' needs a task.*choose task='guidance'"):
        gym.make("ARTDiffusion-Ring2D-v0", action="guidance")
    with pytest.raises(ValueError, match=r"class_quality.*does not fit the task 'ring_2d'.*task='guidance'"):
        gym.make("ARTDiffusion-Ring2D-v0", reward="class_quality")


def test_the_reward_is_the_cost_of_the_population() -> None:
    env = gym.make(ENV, num_steps=3).unwrapped
    env.reset(seed=1)
    action = np.array([0.1, 0.2], np.float32)
    assert [env.step(action)[1] for _ in range(2)] == [0.0, 0.0]
    _, reward, _, _, info = env.step(action)
    assert reward == pytest.approx(-(2 * (1 - info["accuracy"]) + info["frechet"]))
    denoiser = env.core.problem.denoiser
    (found,) = denoiser.quality(env.state.x[:, :, :1], denoiser.condition(env.state.x[0])[None])
    assert reward == pytest.approx(-found.cost)


def test_what_is_wrong_costs() -> None:
    """Without guidance at large levels few steps give worse samples than at a sensible guidance."""
    env = gym.make(ENV).unwrapped
    rewards = {}
    for guidance in (-1.0, 0.1):
        env.reset(seed=3)
        rewards[guidance] = [env.step(np.array([0.0, guidance], np.float32))[1] for _ in range(5)][-1]
    assert rewards[-1.0] < rewards[0.1] - 1


def test_the_configuration_names_its_parts() -> None:
    config = load_config("guidance")
    assert (config.task, config.action, config.reward) == ("guidance", "guidance", "class_quality")
