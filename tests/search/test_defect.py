"""The measured defect's grid: near the oracle, repeatable, and without gradients of the network."""

from __future__ import annotations

import numpy as np
import pytest

from art_gym.denoisers.base import Counted
from art_gym.denoisers.function import FunctionDenoiser
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.measures.errors import endpoint_error
from art_gym.schedules.closed_forms import art
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.search.defect import SCREENING, _moved, defect
from art_gym.search.gauss_newton import GaussNewton
from art_gym.solvers.base import get_solver
from art_gym.solvers.loop import integrate
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.references import find_reference
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


@pytest.mark.parametrize(
    ("task", "solver", "num_steps"),
    [
        ("ring_2d", "dpmpp_2m", 5),
        ("ring_2d", "dpmpp_2m", 10),  # from coarse to fine
        ("mixture_1d", "heun", 7),
        ("checkerboard_2d", "euler", 5),
        ("digits", "dpmpp_2m", 5),
    ],
)
def test_near_the_oracle(task: str, solver: str, num_steps: int) -> None:
    denoiser = get_task(task)
    bank = get_bank(denoiser, "train", 4096)
    bank.ensure(1024)
    levels = defect(denoiser, num_steps, solver, bank.start, bank.endpoints)
    reference = find_reference(Target.of(task, solver), num_steps)
    assert reference is not None
    assert evaluate_plan(Target.of(denoiser, solver), levels, distances=False).error < 1.2 * reference.oracle_error


def test_repeatable_and_one_step() -> None:
    denoiser = get_task("gaussian_1d")
    bank = get_bank(denoiser, "train", 4096)
    bank.ensure(1024)
    first, second = (defect(denoiser, 4, "euler", bank.start, bank.endpoints, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(defect(denoiser, 1, "euler", bank.start, bank.endpoints), [denoiser.sigma_max, 0])


def test_the_finalists_are_chosen_on_noises_that_they_were_not_fitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300,000 evaluations at K = 10, half pay for 300 latents, and a tenth pays for 375 others with eight grids."""
    denoiser = get_task("mixture_1d")
    start, endpoints = get_bank(denoiser, "train", 4096).first(1024)
    judged = []
    improve = GaussNewton.improve

    def recording(self: GaussNewton, logits: np.ndarray, steps: int) -> tuple[float, np.ndarray]:
        if np.array_equal(self.start, start[300:675]):
            assert steps == 0
            judged.append(levels_from_logits(logits, denoiser))
        return improve(self, logits, steps)

    monkeypatch.setattr(GaussNewton, "improve", recording)
    levels = defect(denoiser, 10, "euler", start, endpoints, evaluations=300_000)

    def error(grid: np.ndarray) -> float:
        return float(endpoint_error(integrate(denoiser, grid, start[300:675], "euler"), endpoints[300:675]).mean())

    assert len(judged) > 2  # before and after the improvement
    assert error(levels) == min(error(grid) for grid in judged) < max(error(grid) for grid in judged)
    judged.clear()
    defect(denoiser, 10, "euler", start[:500], endpoints[:500], evaluations=300_000)  # too few others are available
    assert not judged


def normal() -> FunctionDenoiser:
    return FunctionDenoiser(lambda x, sigma: x / (1 + sigma[:, None] ** 2), (1,), 0.002, 10.0, 1.0)


def test_levels_that_coincide_are_the_worst_grid() -> None:
    """In float32, logits at their limit put several levels at σ_min, and 2M divides 0 by 0."""
    start = (10 * np.random.default_rng(0).standard_normal((64, 1))).astype(np.float32)
    fit = GaussNewton(Counted(normal()), get_solver("dpmpp_2m"), start, start / np.float32(np.sqrt(101)))
    error, logits = fit.improve(np.full(9, 9.0), 5)
    assert error == np.inf
    assert np.isfinite(logits).all()
    assert fit.improve(np.zeros(9), 5)[0] < 1e-5


def broad() -> tuple[FunctionDenoiser, np.ndarray, np.ndarray]:
    """A Gaussian with many elements and a deviation for each, with noises and their endpoints."""
    deviation = np.exp(np.random.default_rng(0).normal(-1, 1, 96))
    denoiser = FunctionDenoiser(
        lambda x, sigma: x * (deviation**2 / (deviation**2 + sigma[:, None] ** 2)), (96,), 0.002, 80.0, 0.5
    )
    start = 80 * np.random.default_rng(1).standard_normal((128, 96))
    return denoiser, start, start * deviation / np.sqrt(deviation**2 + 80.0**2)


@pytest.mark.parametrize("num_steps", [10, 18])
def test_a_small_budget_improves_on_the_closed_form(num_steps: int) -> None:
    """The budget pays for a few Jacobians only."""
    denoiser, start, endpoints = broad()
    fit = GaussNewton(Counted(denoiser), get_solver("dpmpp_2m"), start, endpoints)

    def error(levels: np.ndarray) -> float:
        return fit.improve(logits_from_levels(levels, denoiser), 0)[0]

    found = defect(denoiser, num_steps, "dpmpp_2m", start, endpoints, evaluations=50_000)
    assert error(found) < 0.5 * error(art(denoiser, num_steps, start))


def test_without_a_budget_it_is_the_best_start() -> None:
    denoiser, *noises = broad()
    start, endpoints = (each[:SCREENING] for each in noises)
    grids = [make_grid(name, 12, denoiser) for name in ("arctan", "edm", "cosine", "sigmoid", "log_normal")]
    *errors, found = [
        np.linalg.norm(integrate(denoiser, levels, start, "euler") - endpoints, axis=1).mean()
        for levels in (*grids, art(denoiser, 12, start), defect(denoiser, 12, "euler", start, endpoints, evaluations=1))
    ]
    assert found == pytest.approx(min(errors), rel=1e-3)
    assert found < 0.99 * errors[-1]  # not just the first of them, ART's


def test_moving_one_level() -> None:
    levels, rng = np.array([80.0, 20, 5, 1, 0.2, 0.1, 0]), np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        moved = _moved(levels, rng)
        assert len(moved) == 7
        assert moved[0] == 80
        assert moved[-1] == 0
        assert (np.diff(moved) < 0).all()
        assert len(set(levels) - set(moved)) <= 1
        seen.add(tuple(moved))
    assert len(seen) == 5 * 5  # any of five levels, into any of the five steps that are left


def test_nothing_is_left_to_improve() -> None:
    """One latent or one data point can be hit exactly. The remaining error must not become a divisor of 0."""
    start = (10 * np.random.default_rng(0).standard_normal((1, 1))).astype(np.float32)
    for denoiser, endpoints in (
        (normal(), start / np.float32(np.sqrt(101))),
        (FunctionDenoiser(lambda x, sigma: 0 * x, (1,), 0.002, 10.0, 1.0), 0 * start),
    ):
        assert np.isfinite(defect(denoiser, 5, "dpmpp_2m", start, endpoints)).all()


def test_works_on_a_plain_function() -> None:
    """N(0, 1) as a numpy function. The optimum for Euler is known: equal steps of arctan σ."""
    plain = normal()
    start = 10 * np.random.default_rng(0).standard_normal((1024, 1))
    levels = defect(plain, 6, "euler", start, start / np.sqrt(101))
    np.testing.assert_allclose(levels, np.tan(np.arctan(10) * np.linspace(1, 0, 7)), rtol=0.02)


@pytest.mark.parametrize("solver", ["euler", "heun", "dpmpp_2m"])
def test_the_network_is_asked_nothing_below_its_range(solver: str) -> None:
    lowest = []

    def network(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        lowest.append(sigma.min())
        return x / (1 + sigma[:, None] ** 2)

    denoiser = FunctionDenoiser(network, (1,), 0.3, 10.0, 1.0)
    start = 10 * np.random.default_rng(0).standard_normal((128, 1))
    defect(denoiser, 4, solver, start, start / np.sqrt(101))
    assert len(lowest) > 300
    assert min(lowest) > 0.3 * (1 - 1e-6)


def test_values_that_are_not_finite_are_named() -> None:
    def broken(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.where((sigma > 0.1) & (sigma < 0.5), np.nan, 1 / (1 + sigma**2))[:, None] * x

    task = FunctionDenoiser(broken, (2,), data_std=1.0)
    start = 80 * np.random.default_rng(0).standard_normal((16, 2)).astype(np.float32)
    for make in (lambda: art(task, 5, start), lambda: defect(task, 5, "euler", start, 0 * start)):
        with pytest.raises(ValueError, match=r"not finite at sigma = 0\.[1-4]\d*"):
            make()
