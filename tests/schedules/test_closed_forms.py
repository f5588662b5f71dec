"""Closed forms on the Gaussian, where the optimum is known, and against EDM's grid elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, optimize

from art_gym.denoisers.base import Denoiser
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules.closed_forms import art, cancellation_aware, dual_weighted
from art_gym.schedules.grids.base import edm_grid, make_grid
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

Form = Callable[[Denoiser, int, np.ndarray], np.ndarray]


def noises(task: str, count: int = 256) -> np.ndarray:
    bank = get_bank(get_task(task), "train", 4096)
    bank.ensure(count)
    return bank.start[:count]


@pytest.mark.parametrize("form", [dual_weighted, cancellation_aware])
@pytest.mark.parametrize("num_steps", [3, 5, 10])
def test_dual_weighted_forms_are_the_arctan_grid_on_the_gaussian(form: Form, num_steps: int) -> None:
    denoiser = get_task("gaussian_1d")
    levels = form(denoiser, num_steps, noises("gaussian_1d"))
    best = evaluate_plan(Target.of(denoiser, "euler"), make_grid("arctan", num_steps, denoiser), 512).error
    assert evaluate_plan(Target.of(denoiser, "euler"), levels, 512).error < 1.01 * best
    np.testing.assert_allclose(levels, make_grid("arctan", num_steps, denoiser), rtol=0.1)


@pytest.mark.parametrize("num_steps", [4, 9])
def test_art_is_the_quadrature_of_its_formula_on_the_gaussian(num_steps: int) -> None:
    # D = x/(1 + σ²) and x ∝ √(1 + σ²): dD/d log σ along the flow is −x₀ σ²/(1 + σ²)^{3/2}
    def density(log_sigma: float) -> float:
        square = np.exp(2 * log_sigma)
        return np.sqrt(square / (1 + square) ** 1.5)

    def mass(log_sigma: float) -> float:
        return integrate.quad(density, log_sigma, np.log(80), limit=200)[0]

    total = mass(-30.0)
    expected = [
        np.exp(optimize.brentq(lambda s, k=k: mass(s) - total * k / num_steps, -12, np.log(80)))
        for k in range(1, num_steps)
    ]
    levels = art(get_task("gaussian_1d"), num_steps, noises("gaussian_1d"))
    np.testing.assert_allclose(levels[1:-1], expected, rtol=0.02)


@pytest.mark.parametrize("form", [art, dual_weighted, cancellation_aware])
def test_all_budgets_decrease_and_end_in_0(form: Form) -> None:
    for num_steps in (1, 2, 7, 40):
        levels = form(get_task("ring_2d"), num_steps, noises("ring_2d", 32))
        assert len(levels) == num_steps + 1
        assert levels[0] == pytest.approx(80)
        assert levels[-1] == 0
        assert (np.diff(levels) < 0).all()


@pytest.mark.parametrize("count", [1, 2])
def test_errors_of_few_trajectories_may_cancel_altogether(count: int) -> None:
    """Then there is no best density, and the search stops at a bound instead of overflowing."""
    levels = cancellation_aware(get_task("mixture_1d"), 5, noises("mixture_1d", count))
    assert levels[-1] == 0
    assert (np.diff(levels) < 0).all()


@pytest.mark.parametrize(("task", "form", "bound"), [("ring_2d", art, 0.6), ("ring_2d", dual_weighted, 0.45)])
def test_better_than_edm(task: str, form: Form, bound: float) -> None:
    denoiser = get_task(task)
    found = evaluate_plan(Target.of(denoiser, "euler"), form(denoiser, 7, noises(task)), 512).error
    assert found < bound * evaluate_plan(Target.of(denoiser, "euler"), edm_grid(7, denoiser), 512).error
