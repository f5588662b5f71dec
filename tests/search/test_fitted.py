"""Fitted grids: tuned ones, the oracle, Adam, and the coordinates in which the last two move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from art_gym.evaluation.heldout import evaluate_plan
from art_gym.measures.errors import endpoint_error
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import GRIDS, make_grid
from art_gym.search.gradient import gradient_descent
from art_gym.search.oracle import loss_and_gradient, optimise
from art_gym.search.spaces import Grids
from art_gym.search.tuned import tuned
from art_gym.solvers.loop import integrate
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


def training(task: str, count: int = 256) -> tuple[np.ndarray, np.ndarray]:
    bank = get_bank(get_task(task), "train", 4096)
    bank.ensure(count)
    return bank.start[:count], bank.endpoints[:count]


def error(task: str, solver: str, levels: np.ndarray) -> float:
    start, endpoints = training(task)
    return float(endpoint_error(integrate(get_task(task), levels, start, solver), endpoints).mean())


@pytest.mark.parametrize("name", GRIDS)
def test_tuned_is_better_than_published(name: str) -> None:
    levels, _ = tuned(name, 6, get_task("ring_2d"), "dpmpp_2m", *training("ring_2d"))
    published = make_grid(name, 6, get_task("ring_2d"))
    assert error("ring_2d", "dpmpp_2m", levels) <= error("ring_2d", "dpmpp_2m", published) * 1.001


def test_tuned_arctan_finds_the_scale_of_the_gaussian() -> None:
    levels, (_, scale) = tuned("arctan", 8, get_task("gaussian_1d"), "euler", *training("gaussian_1d"))
    assert scale == pytest.approx(1.0, rel=0.05)
    best = error("gaussian_1d", "euler", make_grid("arctan", 8, get_task("gaussian_1d")))
    assert error("gaussian_1d", "euler", levels) == pytest.approx(best, rel=0.01)


def test_oracle_reaches_the_optimum_of_the_gaussian() -> None:
    denoiser = get_task("gaussian_1d")
    levels = optimise(denoiser, 5, "euler", *training("gaussian_1d"))
    best = evaluate_plan(Target.of(denoiser, "euler"), make_grid("arctan", 5, denoiser), 512).error
    assert evaluate_plan(Target.of(denoiser, "euler"), levels, 512).error < 1.001 * best


@pytest.mark.parametrize("solver", ["euler", "heun", "dpmpp_2m", "rk4"])
def test_gradient_against_finite_differences(solver: str) -> None:
    start, endpoints = (torch.from_numpy(array[:16].astype(np.float64)) for array in training("mixture_1d"))
    logits = np.array([0.3, -0.2, 0.5])
    _, gradient = loss_and_gradient(logits, get_task("mixture_1d"), solver, start, endpoints)
    for index, step in enumerate(1e-5 * np.eye(3)):
        above, _ = loss_and_gradient(logits + step, get_task("mixture_1d"), solver, start, endpoints)
        below, _ = loss_and_gradient(logits - step, get_task("mixture_1d"), solver, start, endpoints)
        assert gradient[index] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-6)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=20))
def test_logits_round_trip_and_agree_with_torch(values: list[float]) -> None:
    denoiser, logits = get_task("ring_2d"), np.array(values)
    levels = levels_from_logits(logits, denoiser)
    assert (np.diff(levels) < 0).all()
    np.testing.assert_allclose(levels_from_logits(torch.from_numpy(logits), denoiser).numpy(), levels, rtol=1e-12)
    if (levels[1:-1] > denoiser.sigma_min * 1.03 ** np.arange(len(logits), 0, -1)).all():
        np.testing.assert_allclose(logits_from_levels(levels, denoiser), logits, atol=1e-8)


def test_adam_is_repeatable_and_improves() -> None:
    start, endpoints = training("mixture_1d")
    runs = [
        list(gradient_descent(Grids(get_task("mixture_1d"), 5, "dpmpp_2m"), start, endpoints, updates=60, seed=seed))
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0][-1], runs[1][-1])
    assert not np.array_equal(runs[0][-1], runs[2][-1])
    assert error("mixture_1d", "dpmpp_2m", runs[0][-1]) < 0.75 * error("mixture_1d", "dpmpp_2m", runs[0][0])


@pytest.mark.parametrize("task", ["mixture_1d", "ring_2d"])
def test_tuned_edm_is_what_other_starts_find(task: str) -> None:
    """Two starts suffice. Nine others, far apart, find no error that is lower by a percent."""
    denoiser = get_task(task)
    start, endpoints = get_bank(denoiser, "train", 4096).first(512)

    def error(levels: np.ndarray) -> float:
        return float(endpoint_error(integrate(denoiser, levels, start, "dpmpp_2m"), endpoints).mean())

    def loss(logs: np.ndarray) -> float:
        with np.errstate(all="ignore"):
            try:
                return np.log(error(make_grid("edm", 7, denoiser, *np.exp(logs))))
            except (ValueError, OverflowError, FloatingPointError):
                return 1e3

    options = {"maxfev": 60}
    found = [
        optimize.minimize(loss, np.log([last * denoiser.data_std, rho]), method="Nelder-Mead", options=options).fun
        for last in (0.03, 0.1, 0.3)
        for rho in (7, 100, 3000)
    ]
    levels, _ = tuned("edm", 7, denoiser, "dpmpp_2m", start, endpoints)
    assert error(levels) <= 1.01 * np.exp(min(found))
