"""Grids fitted to a model, against closed forms on the Gaussian and measured errors on Digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy import integrate, optimize

from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules import make_grid
from art_gym.schedules.fitted import FITTED, fitted_grid
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

HIGH = 80.0  # the Gaussian task is N(0, 1)


@cache
def noises(task: str, count: int = 256) -> np.ndarray:
    return Target.of(task).noises("train", count)[0]


def digits_error(name: str, num_steps: int) -> float:
    """Of a fitted grid with 2M, on 2048 held-out noises."""
    target = Target.of("digits")
    levels = fitted_grid(name, num_steps, target.denoiser, noises("digits"))
    return evaluate_plan(target, levels, distances=False).error


def quantiles(density: Callable[[float], float], num_steps: int, low: float) -> list[float]:
    """The inner levels that part ∫ density d log σ from ``low`` to σ_max equally, by quadrature."""

    def mass(log_sigma: float) -> float:
        return integrate.quad(lambda s: density(np.exp(s)), log_sigma, np.log(HIGH), limit=400)[0]

    low = np.log(low)
    parts = [mass(low) * k / num_steps for k in range(1, num_steps)]
    return [np.exp(optimize.brentq(lambda s, part=part: mass(s) - part, low, np.log(HIGH))) for part in parts]


@pytest.mark.parametrize("name", FITTED)
@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_every_form_gives_a_schedule(name: str, num_steps: int) -> None:
    denoiser = get_task("ring_2d")
    levels = fitted_grid(name, num_steps, denoiser, noises("ring_2d")[:32])
    assert levels.shape == (num_steps + 1,)
    assert levels[0] == pytest.approx(denoiser.sigma_max)
    assert levels[-1] == 0
    assert (np.diff(levels) < 0).all()


def test_constant_rate_on_the_gaussian() -> None:
    # D = x/(1 + σ²), so dD/d log σ = (σε(1 − σ²) − 2σ² x₀)/(1 + σ²)² on x₀ + σε, and E|·| goes with its deviation
    levels = fitted_grid("constant_rate", 6, get_task("gaussian_1d"), noises("gaussian_1d", 4096))
    expected = quantiles(lambda s: np.sqrt(s**2 * (1 - s**2) ** 2 + 4 * s**4) / (1 + s**2) ** 2, 6, 1e-8)
    np.testing.assert_allclose(expected, make_grid("arctan", 6, get_task("gaussian_1d"))[1:-1], rtol=1e-4)
    np.testing.assert_allclose(levels[1:-1], expected, rtol=0.05)


def test_rescaled_entropic_time_is_the_arctan_grid_on_the_gaussian() -> None:
    denoiser = get_task("gaussian_1d")
    levels = fitted_grid("entropic_rescaled", 6, denoiser, noises("gaussian_1d", 4096))
    np.testing.assert_allclose(levels[1:-1], make_grid("arctan", 6, denoiser)[1:-1], rtol=0.05)


def test_entropic_time_on_the_gaussian() -> None:
    # mmse = σ²/(1 + σ²)
    levels = fitted_grid("entropic", 6, get_task("gaussian_1d"), noises("gaussian_1d", 4096))
    np.testing.assert_allclose(levels[1:-1], quantiles(lambda s: 1 / (1 + s**2), 6, 0.002), rtol=0.05)


def test_score_optimal_steps_on_the_gaussian() -> None:
    # the score is −x/(1 + σ²), so δ = σ² · 4σ² (1 + σ²)/(1 + σ²)⁴
    levels = fitted_grid("score_optimal", 6, get_task("gaussian_1d"), noises("gaussian_1d", 4096))
    np.testing.assert_allclose(levels[1:-1], quantiles(lambda s: s**3 / (1 + s**2) ** 1.5, 6, 0.002), rtol=0.05)


@pytest.mark.parametrize(("num_steps", "error"), [(5, 0.0846), (10, 0.0275)])
def test_known_errors_of_rescaled_entropic_time(num_steps: int, error: float) -> None:
    """Those of an independent implementation on Digits with 2M."""
    assert digits_error("entropic_rescaled", num_steps) == pytest.approx(error, rel=0.02)


def test_errors_of_fitted_grids() -> None:
    denoiser = get_task("gaussian_1d")
    with pytest.raises(ValueError, match="unknown fitted grid 'arts': did you mean 'art'"):
        fitted_grid("arts", 5, denoiser, noises("gaussian_1d"))
    with pytest.raises(ValueError, match="'art' is fitted on at least 2 latents, got 1: give more"):
        fitted_grid("art", 5, denoiser, noises("gaussian_1d")[:1])
    family = get_task("procedural")
    start = np.zeros((4, *family.shape), np.float32)
    with pytest.raises(ValueError, match=r"'art' is fitted to one model, but .* is several: give one of them"):
        fitted_grid("art", 5, family, start)
