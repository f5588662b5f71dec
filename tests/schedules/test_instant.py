"""Schedules from one probe: the probe itself, what the policy keeps true for any model, and the shipped one."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import art_gym
from art_gym.denoisers import Counted, DiagonalMixture, FunctionDenoiser, GaussianMixture
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules.closed_forms import art
from art_gym.schedules.instant import (
    NODES,
    STEPS,
    InstantPolicy,
    Regression,
    features,
    find,
    instant,
    load_policy,
    profile,
    save_policy,
    shifted,
)
from art_gym.schedules.probe import LEVELS, NOISES, probe
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


def scaled(scale: float) -> GaussianMixture:
    return GaussianMixture(
        scale * np.array([[1.0, 0.5], [-1.0, 0.0]]), 0.2 * scale, sigma_min=0.01 * scale, sigma_max=50 * scale
    )


def test_the_probe_counts_what_it_cost() -> None:
    counted = Counted(get_task("ring_2d"))
    found = probe(counted)
    assert (found.calls, found.evaluations) == (counted.calls, counted.evaluations)
    assert found.evaluations == NOISES * found.calls <= 1000
    assert len(found.levels) == len(found.stiffness) == found.calls == pytest.approx(LEVELS, abs=3)


def test_the_profile_of_one_gaussian_is_known() -> None:
    """On its trajectories x = c √(s² + σ²) ε, so D = s² x / (s² + σ²) and ‖dD/d log σ‖ = s c σ² / (s² + σ²)^1.5 ‖ε‖."""
    width, dimension = 0.5, 4000  # many dimensions, where ‖ε‖ is the same for all noises
    denoiser = GaussianMixture(np.zeros((1, dimension)), width)
    found = probe(denoiser, noises=2, levels=400)
    middle = np.sqrt(found.levels[:-1] * found.levels[1:])
    expected = width * middle**2 / (width**2 + middle**2) ** 1.5
    inner = (middle > 0.05) & (middle < 20)
    np.testing.assert_allclose(found.stiffness[:-1][inner], expected[inner], rtol=0.1)


def test_the_probe_gives_nearly_the_closed_form_of_many_more_calls() -> None:
    denoiser = get_task("checkerboard_2d")
    start = np.random.default_rng(1).standard_normal((256, 2)).astype(np.float32) * 80
    expected = art(denoiser, 7, start)
    np.testing.assert_allclose(np.log(probe(denoiser).closed_form(7)[:-1]), np.log(expected[:-1]), atol=0.3)


def test_the_scale_of_the_data_changes_nothing() -> None:
    small, large = (probe(scaled(scale)) for scale in (1.0, 8.0))
    np.testing.assert_allclose(profile(large), profile(small), atol=1e-3)
    np.testing.assert_allclose(features(large, 7), features(small, 7), atol=1e-3)


@pytest.mark.parametrize("size", [0.5, 30.0])
def test_shifted_levels_are_a_schedule_whatever_the_shift(size: float) -> None:
    found, rng = probe(scaled(1.0)), np.random.default_rng(0)
    for _ in range(20):
        levels = shifted(found, found.closed_form(8), size * rng.standard_normal(7))
        art_gym.Schedule(tuple(levels), "made")  # raises unless they decrease
        assert levels[0] == found.sigma_max
        assert levels[-2] >= found.sigma_min


def tiny_policy(threshold: float = np.inf) -> InstantPolicy:
    """A policy that moves all levels of K = 4 by 0.3 and of K = 6 by 0.5."""
    regressions = {}
    for num_steps, shift in ((4, 0.3), (6, 0.5)):
        count = num_steps - 1 + len(NODES) + 2
        weights = np.vstack([np.full((1, num_steps - 1), shift), np.zeros((count, num_steps - 1))])
        regressions["euler", num_steps] = Regression(np.zeros(count), np.ones(count), weights)
    return InstantPolicy(regressions, np.zeros(len(NODES)), np.eye(len(NODES)), threshold, {"command": "none"})


def test_a_shift_between_two_trained_k_is_between_theirs() -> None:
    found, policy = probe(scaled(1.0)), tiny_policy()
    for num_steps, expected in ((4, 0.3), (5, 0.4), (6, 0.5), (9, 0.5)):
        moved = np.log(policy.levels(found, num_steps, "euler")[1:-1] / found.closed_form(num_steps)[1:-1])
        assert moved[-1] == pytest.approx(expected)


def test_a_policy_survives_its_file(tmp_path: Path) -> None:
    policy = tiny_policy(1.5)
    save_policy(policy, tmp_path / "policy.safetensors")
    again = load_policy(tmp_path / "policy.safetensors")
    assert again.threshold == 1.5
    assert again.facts["command"] == "none"
    found = probe(scaled(1.0))
    np.testing.assert_array_equal(again.levels(found, 5, "euler"), policy.levels(found, 5, "euler"))


def test_a_file_that_is_no_policy_is_named(tmp_path: Path) -> None:
    (tmp_path / "policy.safetensors").write_bytes(b"no policy")
    with pytest.raises(ValueError, match="train-instant"):
        load_policy(tmp_path / "policy.safetensors")


@pytest.mark.parametrize(("task", "solver"), [("digits", "dpmpp_2m"), ("checkerboard_2d", "dpmpp_2m")])
def test_the_shipped_policy_is_better_than_the_closed_form(task: str, solver: str) -> None:
    target = Target.of(task, solver)
    found = find(target.denoiser, 7, solver, task)
    assert found.known
    errors = [
        evaluate_plan(target, plan, 256, distances=False).error for plan in (found.schedule, found.probe.closed_form(7))
    ]
    assert errors[0] < errors[1]
    assert (found.schedule.method, found.schedule.task, found.schedule.solver) == ("instant", task, solver)


@pytest.mark.parametrize("num_steps", [STEPS[0], 8, STEPS[1]])
def test_every_allowed_k_gives_a_schedule(num_steps: int) -> None:
    schedule = art_gym.instant(get_task("ring_2d"), num_steps, "euler")
    assert schedule.num_steps == num_steps
    assert schedule == art_gym.instant(get_task("ring_2d"), num_steps, "euler")


def test_a_model_unlike_the_training_gets_the_closed_form_and_a_warning() -> None:
    """A function that is no denoiser: it oscillates in log σ at all levels."""

    def oscillating(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.zeros_like(x) + np.sin(9 * np.log(sigma))[:, None].astype(x.dtype)

    denoiser = FunctionDenoiser(oscillating, (3,))
    with pytest.warns(UserWarning, match="closed form"):
        schedule = instant(denoiser, 6)
    np.testing.assert_array_equal(schedule.sigmas, probe(denoiser).closed_form(6))
    assert schedule.method.startswith("art")


def test_a_flow_model_marks_its_schedule() -> None:
    denoiser = DiagonalMixture(np.eye(2), np.full((2, 2), 0.1))
    denoiser.flow = True  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert instant(denoiser, 5).flow


@pytest.mark.parametrize(("arguments", "said"), [((2,), "3 to 20 steps, got 2"), ((7, "heun"), "dpmpp_2m.*'heun'")])
def test_a_request_that_cannot_be_is_named(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        instant(get_task("ring_2d"), *arguments)


def test_a_probe_without_noises_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 noise and 8 levels, got 0"):
        probe(get_task("ring_2d"), noises=0)


def test_the_distance_is_least_at_the_mean() -> None:
    found = probe(scaled(1.0))
    at_mean = replace(tiny_policy(), mean=profile(found))
    assert at_mean.distance(found) == 0 < tiny_policy().distance(found)
