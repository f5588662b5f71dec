"""Rewards: what each one pays, what it ignores, and what all have in common."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from art_gym.envs.env import ARTDiffusionEnv
from art_gym.envs.rewards.base import REWARDS, get_reward
from art_gym.envs.rewards.stiffness import _dual_weights
from art_gym.measures.distances import energy_distance
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.grids.base import edm_grid
from art_gym.tasks.registry import resolve

TASK = "ARTDiffusion-Mixture1D-v0"


class Replay:
    """An action map that plays a given grid for any action."""

    def __init__(self, levels: np.ndarray) -> None:
        self.levels = levels

    def __call__(self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, *_: Any) -> np.ndarray:
        return self.levels[step + 1]


def rollout(env: gym.Env, seed: int = 0, action: float | None = None) -> tuple[list[float], list[dict]]:
    """Rewards and infos of one episode, with a constant action or random ones."""
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    rewards, infos, ended = [], [], False
    while not ended:
        chosen = rng.uniform(-1, 1) if action is None else action
        _, reward, ended, _, info = env.step(np.array([chosen], np.float32))
        rewards.append(reward)
        infos.append(info)
    return rewards, infos


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
@pytest.mark.parametrize("task", [TASK, "ARTDiffusion-Ring2D-v0"])
def test_path_telescopes_to_linear(task: str, solver: str) -> None:
    for seed in range(3):
        path, _ = rollout(gym.make(task, reward="path", solver=solver), seed)
        linear, _ = rollout(gym.make(task, reward="linear", solver=solver), seed)
        assert sum(path) == pytest.approx(linear[-1], abs=1e-5)
        assert linear[:-1] == [0.0] * (len(linear) - 1)
        assert all(reward != 0 for reward in path)


@pytest.mark.parametrize("reward", ["log_ratio", "log_ratio_rms"])
@pytest.mark.parametrize("solver", ["euler", "heun", "dpmpp_2m", "rk4"])
def test_log_ratio_of_edm_is_zero(reward: str, solver: str) -> None:
    levels = edm_grid(6, gym.make(TASK).unwrapped.core.problem.denoiser)
    env = ARTDiffusionEnv("mixture_1d", reward=reward, solver=solver, num_steps=6, action=Replay(levels))
    for seed in range(3):
        rewards, infos = rollout(env, seed)
        assert rewards == pytest.approx([0] * 6, abs=1e-3)
        assert infos[-1]["error"] == pytest.approx(infos[-1]["error_reference"], rel=1e-3)


def test_log_ratio_from_the_infos() -> None:
    rewards, infos = rollout(gym.make(TASK), 1)
    assert rewards[:-1] == [0.0] * 6
    assert rewards[-1] == pytest.approx(math.log(infos[-1]["error_reference"] / infos[-1]["error"]), rel=1e-5)


@pytest.fixture
def precise() -> dict[str, Any]:
    """Arguments of an environment in which every episode is the precise solution."""
    grid = reference_grid(gym.make(TASK).unwrapped.core.problem.denoiser)
    return {"solver": "rk4", "num_steps": len(grid) - 1, "action": Replay(grid)}


def test_log_ratio_has_a_floor(precise: dict[str, Any]) -> None:
    env = ARTDiffusionEnv("mixture_1d", **precise)
    rewards, infos = rollout(env)
    floor = 1e-4 * env.unwrapped.core.problem.denoiser.data_std
    assert infos[-1]["error"] < floor
    assert rewards[-1] == pytest.approx(math.log(max(infos[-1]["error_reference"], floor) / floor), abs=1e-6)


def test_path_distance_of_the_precise_path_is_zero(precise: dict[str, Any]) -> None:
    _, infos = rollout(ARTDiffusionEnv("mixture_1d", reward="path", **precise))
    assert max(info["path_distance"] for info in infos) < 1e-4


def test_rms_looks_at_the_worst_latents() -> None:
    env = gym.make(TASK, reward="log_ratio_rms")
    rewards, _ = rollout(env, 2)
    core, state = env.unwrapped.core, env.unwrapped.state
    errors, reference = core.problem.endpoint_errors(state), core.problem.reference_errors(state)
    expected = 0.5 * math.log((reference**2).mean() / (errors**2).mean())
    assert rewards[-1] == pytest.approx(expected, rel=1e-4)


def test_sliced_endpoints_is_zero_when_perfect(precise: dict[str, Any]) -> None:
    rewards, _ = rollout(ARTDiffusionEnv("mixture_1d", reward="sliced_endpoints", **precise))
    assert -1e-4 < rewards[-1] <= 0
    coarse, _ = rollout(gym.make(TASK, reward="sliced_endpoints", num_steps=3))
    assert coarse[-1] < -0.01


def test_energy_reward_is_the_energy_distance() -> None:
    env = gym.make(TASK, reward="energy_data")
    rewards, infos = rollout(env, 4)
    state, denoiser = env.unwrapped.state, env.unwrapped.core.problem.denoiser
    data = denoiser.sample_data(64, np.random.default_rng([3, int(state.noise[0, 0])]))
    expected = energy_distance(state.x[0], data)
    assert infos[-1]["energy_distance_to_data"] == pytest.approx(expected, rel=1e-6)
    assert rewards[-1] == pytest.approx(-expected / denoiser.data_std, rel=1e-6)


def test_stiffness_is_the_acceleration_of_a_gaussian() -> None:
    """x = c√(1+σ²), d²x/dσ² = c/(1+σ²)^{3/2}; in τ = arctan σ / L the same times σ² (d log σ/dτ)²."""
    env = gym.make("ARTDiffusion-Gaussian1D-v0", reward="stiffness", num_steps=8).unwrapped
    env.reset(seed=0)
    length, ended = math.atan(80), False
    while not ended:
        sigma, x = env.state.sigma[0], env.state.x[0, :, 0]
        acceleration = (np.abs(x) / np.sqrt(1 + sigma**2) / (1 + sigma**2) ** 1.5).mean()
        expected = acceleration * sigma**2 * (length * (1 + sigma**2) / sigma) ** 2
        _, reward, ended, _, info = env.step(np.array([0.1], np.float32))
        assert info["stiffness"] == pytest.approx(expected, rel=0.05)
        speed = (math.atan(sigma) - math.atan(env.state.sigma[0])) / length * 8
        assert info["clock_speed"] == pytest.approx(speed, rel=1e-6)
        assert reward == pytest.approx(-info["stiffness"] * speed**2 / 8, rel=1e-6)


@pytest.fixture
def coarse_dual_weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Weights along 2 trajectories instead of 64. No other test uses these."""
    _dual_weights.cache_clear()
    monkeypatch.setattr("art_gym.envs.rewards.stiffness.DUAL_NOISES", 2)
    yield
    _dual_weights.cache_clear()


@pytest.mark.parametrize("population", [1, 16])
@pytest.mark.parametrize("task", [TASK, "ARTDiffusion-Digits-v0"])
@pytest.mark.parametrize("reward", REWARDS)
def test_every_reward_is_finite(reward: str, task: str, population: int, coarse_dual_weights: None) -> None:
    if reward == "energy_data" and population == 1:  # it is not defined for one sample
        with pytest.raises(ValueError, match="population of at least 2"):
            gym.make(task, reward=reward, population=population)
        return
    if reward == "class_quality":  # the others have no classes
        env = gym.make("ARTDiffusion-Guidance-v0", action="fraction", population=population, num_steps=(1, 4))
    elif reward == "log_ratio_images":
        denoiser = copy.copy(resolve("mixture_1d" if task == TASK else "digits"))
        denoiser.decode = lambda x: np.repeat(x, 2, axis=1)
        env = ARTDiffusionEnv(task=denoiser, reward=reward, population=population, num_steps=(1, 4))
    else:
        env = gym.make(task, reward=reward, population=population, num_steps=(1, 4))
    for seed in range(3):
        rewards, infos = rollout(env, seed)
        assert np.isfinite(rewards).all()
        assert all(isinstance(key, str) and math.isfinite(value) for info in infos for key, value in info.items())


@pytest.mark.parametrize(
    ("reward", "component"),
    [
        ("path", "path_distance"),
        ("sliced_endpoints", "sliced_wasserstein"),
        ("sliced_data", "sliced_distance_to_data"),
        ("energy_data", "energy_distance_to_data"),
        ("stiffness", "clock_speed"),
    ],
)
def test_components_are_named(reward: str, component: str) -> None:
    _, infos = rollout(gym.make(TASK, reward=reward))
    assert component in infos[-1]
    assert {"error", "error_reference"} <= infos[-1].keys()


def test_distance_to_data_needs_data() -> None:
    from art_gym import FunctionDenoiser

    task = FunctionDenoiser(lambda x, sigma: 0 * x, shape=(1,))
    with pytest.raises(ValueError, match=r"FunctionDenoiser has no sample_data.*reward='log_ratio'"):
        ARTDiffusionEnv(task=task, reward="sliced_data", num_steps=2)


def test_a_policy_samples_where_the_reward_of_its_training_does_not_fit() -> None:
    from art_gym import AdaptivePolicy, FunctionDenoiser, load_config, sample
    from art_gym.evaluation.heldout import evaluate_policy

    task = FunctionDenoiser(lambda x, sigma: x / (1 + sigma[:, None] ** 2), shape=(1,), data_std=1.0)
    config = load_config("gaussian_1d", num_steps=3, population=4, reward="sliced_data")
    policy = AdaptivePolicy(lambda observed: np.zeros((len(observed), 1)), config, 3)
    assert np.isfinite(sample(task, policy, np.ones((8, 1))).samples).all()
    assert evaluate_policy(policy.policy, dataclasses.replace(config, task=task), 3, 64).sliced is None


def test_unknown_reward_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown reward 'fid': choose one of class_quality, dual_stiffness"):
        get_reward("fid")
