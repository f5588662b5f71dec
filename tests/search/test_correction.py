"""One corrected step: its derivatives and cost, and that noises which disagree prevent it."""

from __future__ import annotations

import numpy as np
import pytest

from art_gym.denoisers import Counted
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.freedom import weights_2m
from art_gym.samplers.methods import unipc
from art_gym.schedules.probe import probe
from art_gym.search.correction import OneStep, correct, cost, fine_grid, shrunk_step
from art_gym.solvers.loop import integrate
from art_gym.tasks.noise_bank import precise_endpoints
from art_gym.tasks.registry import get_task

STEPS = 5


def made(numbers: np.ndarray) -> Coefficients:
    """A sampler of 4 shifts of log levels and, if there are 8 numbers, 4 additions to the weights of 2M."""
    levels = np.append(np.geomspace(80, 0.02, STEPS), 0.0)
    levels[1:-1] *= np.exp(numbers[: STEPS - 1])
    weights = weights_2m(levels)
    weights[1:] += numbers[STEPS - 1 :] if len(numbers) >= STEPS else 0
    return Coefficients(levels, np.ones(STEPS), weights[:, None])


def problem(count: int = 4) -> OneStep:
    denoiser = Counted(get_task("digits"))
    start = 80 * np.random.default_rng(0).standard_normal((count, *denoiser.shape))
    return OneStep(denoiser, STEPS, made, start, integrate(denoiser, fine_grid(probe(denoiser)), start, "rk4"))


@pytest.mark.parametrize("size", [STEPS - 1, 2 * STEPS - 2])
def test_the_derivatives_are_those_of_the_squared_errors(size: int) -> None:
    step = problem()
    at = step.point(np.zeros(size))
    matrices, slopes, squares = step.by_noise(at)
    assert matrices.shape == (4, size, size)
    for row, slope in zip(1e-4 * np.eye(size), slopes.T, strict=True):
        changed = [(step.point(sign * row).defect ** 2).mean(axis=1) for sign in (1, -1)]
        np.testing.assert_allclose(2 * slope, (changed[0] - changed[1]) / 2e-4, rtol=0.05, atol=1e-3 * squares.max())


@pytest.mark.parametrize("size", [STEPS - 1, 2 * STEPS - 2])
def test_it_helps_within_its_budget(size: int) -> None:
    denoiser, first = Counted(get_task("digits")), np.zeros(size)
    found = probe(denoiser)
    denoiser.evaluations, budget = 0, 600
    numbers = correct(denoiser, found, STEPS, made, first, budget)
    assert budget - cost(STEPS, size) < denoiser.evaluations <= budget
    step = problem(64)
    assert step.point(numbers).error < 0.95 * step.point(first).error


def test_few_noises_change_nothing() -> None:
    denoiser, first = Counted(get_task("ring_2d")), np.zeros(STEPS - 1)
    assert correct(denoiser, probe(get_task("ring_2d")), STEPS, made, first, 2 * cost(STEPS, STEPS - 1)) is first
    assert denoiser.evaluations == 0


def test_endpoints_are_precise() -> None:
    denoiser = get_task("digits")
    start = np.float32(80) * np.random.default_rng(0).standard_normal((8, *denoiser.shape), np.float32)
    away = unipc(3)(denoiser, fine_grid(probe(denoiser, 8, 24)), start) - precise_endpoints(denoiser, start)
    assert np.sqrt((away**2).mean()) < 0.01 * denoiser.data_std


def agreeing(slopes: np.ndarray) -> np.ndarray | None:
    """The step for noises with the same errors and matrices, and these (B,) slopes along one number."""
    count = len(slopes)
    return shrunk_step(np.full((count, 1, 1), 0.25), slopes[:, None], np.ones(count), 0.01)


def test_noises_that_agree_make_a_step_and_others_none() -> None:
    step = agreeing(np.array([0.2, 0.19, 0.21, 0.2]))
    assert step is not None
    assert step[0] < -0.3
    assert agreeing(np.array([0.2, -0.21, 0.19, -0.2])) is None
