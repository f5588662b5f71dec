"""The policy behind instant schedules: what it keeps true for any model, its inputs, and its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import art_gym
from art_gym.denoisers import Counted, GaussianMixture
from art_gym.schedules.closed_forms import art
from art_gym.schedules.instant import (
    CHANNELS,
    NODES,
    WINDOWS,
    Ensemble,
    InstantPolicy,
    inputs_of,
    load_policy,
    profile,
    profiles,
    save_policy,
    shifted,
)
from art_gym.schedules.probe import LEVELS, NOISES, probe
from art_gym.tasks.registry import get_task


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


def test_the_bend_of_one_gaussian_is_known() -> None:
    """There D = c s² ε / √(s² + σ²), which keeps its direction."""
    width = 0.5
    found = probe(GaussianMixture(np.zeros((1, 50)), width), noises=2, levels=400)

    def size(logs: np.ndarray) -> np.ndarray:
        expected: np.ndarray = (1 + np.exp(2 * logs) * found.data_std**2 / width**2) ** -0.5
        return expected

    for window, bend in zip(WINDOWS, profiles(found)[1:], strict=True):
        above, at, below = (size(NODES + by) for by in (window, 0.0, -window))
        first, second = below - above, np.abs(above - 2 * at + below)
        clear = second > 0.003
        np.testing.assert_allclose(bend[clear], np.log(second / first)[clear], atol=0.1)
        assert clear.sum() > 10


def test_the_probe_gives_nearly_the_closed_form_of_many_more_calls() -> None:
    denoiser = get_task("checkerboard_2d")
    start = np.random.default_rng(1).standard_normal((256, 2)).astype(np.float32) * 80
    expected = art(denoiser, 7, start)
    np.testing.assert_allclose(np.log(probe(denoiser).closed_form(7)[:-1]), np.log(expected[:-1]), atol=0.3)


def test_the_scale_of_the_data_changes_nothing() -> None:
    small, large = (probe(scaled(scale)) for scale in (1.0, 8.0))
    np.testing.assert_allclose(profile(large), profile(small), atol=1e-3)
    np.testing.assert_allclose(inputs_of(large, 7, "euler"), inputs_of(small, 7, "euler"), atol=1e-3)


@pytest.mark.parametrize("size", [0.5, 30.0])
def test_shifted_levels_are_a_schedule_whatever_the_shift(size: float) -> None:
    found, rng = probe(scaled(1.0)), np.random.default_rng(0)
    for _ in range(20):
        levels = shifted(found, found.closed_form(8), size * rng.standard_normal(7))
        art_gym.Schedule(tuple(levels), "made")  # raises unless they decrease
        assert levels[0] == found.sigma_max
        assert levels[-2] >= found.sigma_min


def tiny_policy(threshold: float = np.inf) -> InstantPolicy:
    """Two networks of one hidden unit whose outputs do not depend on the inputs, but are 0.2 and 0.4."""
    count = inputs_of(probe(scaled(1.0)), 5, "euler").shape[1]

    def ensemble(outputs: int) -> Ensemble:
        hidden = np.zeros((2, count + 1, 1)), np.zeros((2, 2, 1))
        last = np.stack([np.full((2, outputs), shift) * [[0.0], [1.0]] for shift in (0.2, 0.4)])
        return Ensemble(np.zeros(count), np.ones(count), *hidden, last)

    size = len(NODES)
    return InstantPolicy(ensemble(1), ensemble(3), np.zeros(size), np.eye(size), threshold, {"command": "none"})


@pytest.mark.parametrize("num_steps", [3, 5, 20])
def test_the_shift_is_the_mean_of_the_networks(num_steps: int) -> None:
    found, policy = probe(scaled(1.0)), tiny_policy()
    moved = np.log(policy.levels(found, num_steps, "euler")[1:-1] / found.closed_form(num_steps)[1:-1])
    assert moved[-1] == pytest.approx(0.3)
    shift, weights, told = policy.coefficients(found, num_steps)
    np.testing.assert_allclose(shift, 0.3)
    np.testing.assert_allclose(weights, [0.0, *[0.3] * (num_steps - 1)])
    assert told.shape == (num_steps,)


def test_the_inputs_tell_of_the_step_and_of_the_profile() -> None:
    found = probe(scaled(1.0))
    rows = {solver: inputs_of(found, 6, solver) for solver in ("dpmpp_2m", "euler")}
    changed = np.flatnonzero((rows["dpmpp_2m"] != rows["euler"]).any(axis=0))
    assert len(changed) == 1  # whether the solver is of second order
    first, last = rows["euler"][0], rows["euler"][-1]
    for row in (first, last):
        np.testing.assert_array_equal(row[-CHANNELS * len(NODES) :].reshape(CHANNELS, -1), profiles(found))
    assert first[0] == pytest.approx(np.log(found.sigma_max / found.data_std))


def test_a_policy_survives_its_file(tmp_path: Path) -> None:
    policy = tiny_policy(1.5)
    save_policy(policy, tmp_path / "policy.safetensors")
    again = load_policy(tmp_path / "policy.safetensors")
    assert again.threshold == 1.5
    assert again.facts["command"] == "none"
    found = probe(scaled(1.0))
    np.testing.assert_allclose(again.levels(found, 5, "euler"), policy.levels(found, 5, "euler"), rtol=1e-6)


def test_a_file_that_is_no_policy_is_named(tmp_path: Path) -> None:
    (tmp_path / "policy.safetensors").write_bytes(b"no policy")
    with pytest.raises(ValueError, match="train-instant"):
        load_policy(tmp_path / "policy.safetensors")


def test_a_probe_without_noises_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 noise and 8 levels, got 0"):
        probe(get_task("ring_2d"), noises=0)


def test_the_distance_is_least_at_the_mean() -> None:
    found = probe(scaled(1.0))
    at_mean = replace(tiny_policy(), mean=profile(found))
    assert at_mean.distance(found) == 0 < tiny_policy().distance(found)
