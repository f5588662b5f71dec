"""Align Your Steps: the bound against closed forms, the divergence of a stochastic solver, and the ELBO."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from art_gym.denoisers.base import Counted
from art_gym.schedules import make_grid
from art_gym.schedules.fitted import align_your_steps, fitted_grid
from art_gym.schedules.fitted.align_your_steps import Bound
from art_gym.schedules.fitted.base import Diffused
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

HIGH, LOW = 80.0, 0.002  # the Gaussian task is N(0, 1)


def noises(task: str, count: int) -> np.ndarray:
    return Target.of(task).noises("train", count)[0]


def bound_of(task: str, count: int, scale: float = 1.0) -> Bound:
    return Bound(Diffused(get_task(task), noises(task, count)), scale)


@pytest.mark.parametrize("scale", [1.0, 0.4])
@pytest.mark.parametrize(("upper", "lower"), [(80.0, 3.0), (3.0, 0.5), (0.5, 0.01)])
def test_the_bound_on_the_gaussian(upper: float, lower: float, scale: float) -> None:
    """∫ (mmse(u) − mmse(t))/t³ dt with mmse = t²/(1 + t²), whatever data the samples are made for."""
    start, end = 1 + upper**-2, 1 + lower**-2
    expected = (end / start - 1 - np.log(end / start)) / 2
    assert bound_of("gaussian_1d", 8192, scale).step(upper, lower) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("lower", [79.9999, 1e-4])
def test_steps_of_any_length_have_a_bound(lower: float) -> None:
    growth = (lower**-2 - HIGH**-2) / (1 + HIGH**-2)
    expected = (growth - np.log1p(growth)) / 2
    assert bound_of("gaussian_1d", 2048).step(HIGH, lower) == pytest.approx(expected, rel=0.3)


def test_the_bound_is_what_the_elbo_loses() -> None:
    bound = bound_of("ring_2d", 4096)
    levels = np.geomspace(1.5, 0.2, 100)
    mmse = np.array([bound.diffused.mmse(sigma) for sigma in levels])
    precision = levels**-2
    gained = ((mmse[1:] + mmse[:-1]) / 2 * np.diff(precision)).sum() / 2
    lost = mmse[0] * (precision[-1] - precision[0]) / 2 - gained
    assert bound.step(1.5, 0.2) == pytest.approx(lost, rel=0.1)


def divergence(levels: np.ndarray) -> float:
    """KL(model ‖ samples) at σ_min, on the Gaussian, of ancestral sampling (stochastic DDIM)."""
    variance = HIGH**2
    for sigma, later in pairwise(levels):
        keep = later**2 / sigma**2
        factor = keep + (1 - keep) / (1 + sigma**2)
        variance = factor**2 * variance + later**2 * (1 - keep)
    ratio = (1 + LOW**2) / variance
    return (ratio - 1 - np.log(ratio)) / 2


@pytest.mark.parametrize("num_steps", [4, 8])
def test_it_is_better_for_a_stochastic_solver_and_the_bound_holds(num_steps: int) -> None:
    bound = bound_of("gaussian_1d", 1024)
    edm = make_grid("edm", num_steps + 1, get_task("gaussian_1d"))[:-1]
    ours = fitted_grid("align_your_steps", num_steps, get_task("gaussian_1d"), noises("gaussian_1d", 256))
    ours[-1] = LOW

    def bounded(levels: np.ndarray) -> float:
        return sum(bound.step(upper, lower) for upper, lower in pairwise(levels))

    assert divergence(edm) < bounded(edm)
    assert divergence(ours) < bounded(ours)
    assert bounded(ours) < 0.7 * bounded(edm)
    assert divergence(ours) < divergence(edm)


def test_without_an_early_stop_it_ends_at_the_best_elbo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(align_your_steps, "ROUNDS", 40)
    monkeypatch.setattr(align_your_steps, "CANDIDATES", 40)
    levels = fitted_grid("align_your_steps", 3, get_task("gaussian_1d"), noises("gaussian_1d", 512))
    precisions = np.geomspace(1 + HIGH**-2, 1 + LOW**-2, 4)[1:-1] - 1
    np.testing.assert_allclose(levels[1:-1], precisions**-0.5, rtol=0.2)


def test_what_it_costs() -> None:
    denoiser = Counted(get_task("ring_2d"))
    fitted_grid("align_your_steps", 5, denoiser, noises("ring_2d", 8))
    assert denoiser.evaluations == 8 * (64 * 4 + 64)
