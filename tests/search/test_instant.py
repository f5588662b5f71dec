"""Schedules and samplers from fewer than 1,000 evaluations, with the shipped policy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import art_gym
from art_gym.denoisers import Counted, DiagonalMixture, FunctionDenoiser
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers import Sampler
from art_gym.schedules.instant import STEPS
from art_gym.schedules.probe import probe
from art_gym.search.instant import BUDGET, LEVELS, NOISES, find, instant, instant_sampler
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


@pytest.mark.parametrize("task", ["digits", "checkerboard_2d"])
def test_the_shipped_policy_is_better_than_the_closed_form(task: str) -> None:
    target = Target.of(task, "dpmpp_2m")
    found = find(target.denoiser, 7, "dpmpp_2m", task)
    assert found.known
    form = probe(target.denoiser).closed_form(7)
    errors = [evaluate_plan(target, plan, 256, distances=False).error for plan in (found.plan, form)]
    assert errors[0] < errors[1]
    assert (found.plan.method, found.plan.task, found.plan.solver) == ("instant", task, "dpmpp_2m")


@pytest.mark.parametrize("sampler", [False, True])
@pytest.mark.parametrize("num_steps", [STEPS[0], 7, 10, STEPS[1]])
def test_it_counts_what_it_cost_and_keeps_to_its_budget(num_steps: int, sampler: bool) -> None:
    counted = Counted(get_task("ring_2d"))
    found = find(counted, num_steps, sampler=sampler)
    assert found.evaluations <= BUDGET
    assert 0 <= counted.evaluations - found.evaluations < 10  # a check before it begins
    assert found.plan.num_steps == num_steps
    assert found.plan == find(get_task("ring_2d"), num_steps, sampler=sampler).plan


def test_without_a_budget_there_is_no_correction() -> None:
    found = find(get_task("mixture_1d"), 5, budget=0)
    assert found.evaluations == found.probe.evaluations
    assert found.plan.sigmas != find(get_task("mixture_1d"), 5).plan.sigmas


def test_a_sampler_has_less_error_than_the_schedule() -> None:
    target = Target.of("digits", "dpmpp_2m")
    plans = art_gym.instant_sampler(target.denoiser, 7), art_gym.instant(target.denoiser, 7)
    errors = [evaluate_plan(target, plan, 256, distances=False).error for plan in plans]
    assert errors[0] < errors[1]


def oscillating(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """A function that is no denoiser: it oscillates in log σ at all levels."""
    return np.zeros_like(x) + np.sin(9 * np.log(sigma))[:, None].astype(x.dtype)


def test_a_model_unlike_the_training_gets_the_closed_form_and_a_warning() -> None:
    denoiser = FunctionDenoiser(oscillating, (3,))
    with pytest.warns(UserWarning, match="closed form"):
        schedule = instant(denoiser, 6)
    form = probe(denoiser, NOISES, LEVELS).closed_form(6)
    np.testing.assert_array_equal(schedule.sigmas, form)
    assert schedule.method.startswith("art")
    with pytest.warns(UserWarning, match="closed form"):
        sampler = instant_sampler(denoiser, 6)
    np.testing.assert_allclose(sampler.coefficients().weights, Sampler.of(form, "dpmpp_2m").coefficients().weights)


@pytest.mark.parametrize("made", [instant, instant_sampler])
def test_a_flow_model_marks_what_it_gets(made: object) -> None:
    denoiser = DiagonalMixture(np.eye(2), np.full((2, 2), 0.1))
    denoiser.flow = True  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert made(denoiser, 5).flow  # type: ignore[operator]


@pytest.mark.parametrize(("arguments", "said"), [((2,), "3 to 20 steps, got 2"), ((7, "heun"), "dpmpp_2m.*'heun'")])
def test_a_request_that_cannot_be_is_named(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        instant(get_task("ring_2d"), *arguments)


def test_a_sampler_begins_with_2m() -> None:
    with pytest.raises(ValueError, match="begin with dpmpp_2m, got 'euler'"):
        find(get_task("ring_2d"), 7, "euler", sampler=True)
