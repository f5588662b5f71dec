"""Grids fitted to a model, against closed forms on the Gaussian and measured errors on Digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy import integrate, optimize

from art_gym.denoisers import FunctionDenoiser
from art_gym.denoisers.base import Counted
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules import make_grid
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.fitted import FITTED, elbo, fitted_grid, optimal_steps
from art_gym.schedules.fitted.base import Diffused
from art_gym.schedules.fitted.gits import TEACHER, _off_line, cheapest_path
from art_gym.solvers.loop import integrate as integrate_flow
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


def test_a_step_of_the_elbo_costs_the_divergence_of_two_posteriors() -> None:
    nodes, mmse = np.array([2.0, 0.5, 0.1]), np.array([0.7, 0.2, 0.01])

    def divergence(sigma: float, later: float, error: float) -> float:
        """KL of two Gaussians that differ in their means, by quadrature. The error is all in one sample."""
        keep = later**2 / sigma**2
        spread = later * np.sqrt(1 - keep)  # of q(x_s | x_σ, x₀), whose mean is keep · x_σ + (1 − keep) x₀
        shift = (1 - keep) * np.sqrt(error)

        def density(x: float) -> float:
            return np.exp(-(x**2) / (2 * spread**2)) / (np.sqrt(2 * np.pi) * spread)

        def integrand(x: float) -> float:
            return density(x) * ((x - shift) ** 2 - x**2) / (2 * spread**2)

        return integrate.quad(integrand, -9 * spread, 9 * spread)[0]

    costs = elbo.step_costs(nodes, mmse)
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert costs[i, j] == pytest.approx(divergence(nodes[i], nodes[j], mmse[i]))
    assert np.isinf(costs[np.tril_indices(3)]).all()


@pytest.mark.parametrize("num_steps", [2, 3, 4])
def test_the_elbo_is_that_of_the_best_of_all_grids(num_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elbo, "NODES", 14)
    denoiser, start = get_task("ring_2d"), noises("ring_2d")
    nodes, diffused = reference_grid(denoiser, 14)[:-1], Diffused(denoiser, start)

    def cost(inner: tuple[float, ...]) -> float:
        grid = (nodes[0], *inner, nodes[-1])
        return sum((1 / later**2 - 1 / sigma**2) * diffused.mmse(sigma) for sigma, later in pairwise(grid))

    best = min(combinations(nodes[1:-1], num_steps - 1), key=cost)
    np.testing.assert_array_equal(fitted_grid("elbo", num_steps, denoiser, start), [nodes[0], *best, 0.0])


def test_the_best_elbo_on_the_gaussian() -> None:
    # mmse = 1/(λ + 1) with λ = 1/σ², so the sum of (λ' − λ)/(λ + 1) is least where λ + 1 grows by one factor
    levels = fitted_grid("elbo", 6, get_task("gaussian_1d"), noises("gaussian_1d", 4096))
    precisions = np.geomspace(1 + HIGH**-2, 1 + 0.002**-2, 7)[1:-1] - 1
    np.testing.assert_allclose(levels[1:-1], precisions**-0.5, rtol=0.1)  # the fine grid's levels are 9 % apart


@pytest.mark.parametrize(("num_steps", "error"), [(5, 0.0846), (10, 0.0275)])
def test_known_errors_of_rescaled_entropic_time(num_steps: int, error: float) -> None:
    """Those of an independent implementation on Digits with 2M."""
    assert digits_error("entropic_rescaled", num_steps) == pytest.approx(error, rel=0.02)


@pytest.mark.parametrize("num_steps", [1, 2, 4])
@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_the_cheapest_path_is_that_of_all_paths(num_steps: int, factor: float) -> None:
    costs = np.triu(np.random.default_rng(num_steps).normal(size=(9, 9)), 1)
    costs[np.tril_indices(9)] = np.inf

    def cost(inner: tuple[int, ...]) -> float:
        return sum(factor**k * costs[step] for k, step in enumerate(pairwise((0, *inner, 8))))

    best = min(combinations(range(1, 8), num_steps - 1), key=cost)
    assert cheapest_path(costs, num_steps, factor) == [0, *best, 8]


def test_distances_from_the_line() -> None:
    points = np.array([[[0.0, 0.0]], [[9.0, 9.0]], [[3.0, 4.0]]])
    np.testing.assert_allclose(_off_line(np.array([[-4.0, 3.0]]), points), [5.0])  # at a right angle
    np.testing.assert_allclose(_off_line(np.array([[6.0, 8.0]]), points), [0.0], atol=1e-12)


def test_gits_takes_the_levels_where_a_path_turns() -> None:
    """D jumps once, so the path has two straight parts, and two Euler steps follow them without any cost."""

    def function(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.where(sigma[:, None] > turn, np.float32(0), np.full_like(x, 1))

    fine = make_grid("edm", TEACHER, get_task("ring_2d"))
    turn = (fine[30] + fine[31]) / 2
    denoiser = FunctionDenoiser(function, (2,), data_std=1.0)
    for name in ("gits", "gits_l2"):
        levels = fitted_grid(name, 2, denoiser, noises("ring_2d")[:32])
        assert levels[1] in fine[30:32]


def test_two_optimal_steps_are_the_best_of_all_pairs() -> None:
    denoiser, start = get_task("mixture_1d"), noises("mixture_1d")[:7]
    fine = make_grid("edm", optimal_steps.TEACHER, denoiser)
    ends = integrate_flow(denoiser, fine, start, "euler")
    errors = [(integrate_flow(denoiser, [fine[0], level, 0.0], start, "euler") - ends) ** 2 for level in fine[1:-1]]
    best = 1 + np.array(errors).reshape(len(errors), -1).argmin(axis=0)  # (7,)
    assert fitted_grid("optimal_steps", 2, denoiser, start)[1] == fine[int(np.median(best))]


@pytest.mark.parametrize(
    ("name", "error", "tolerance"), [("gits", 0.1663, 0.06), ("gits_l2", 0.1081, 0.01), ("optimal_steps", 0.1076, 0.07)]
)
def test_known_errors_of_dynamic_programming(name: str, error: float, tolerance: float) -> None:
    """Those of the authors' code or an independent implementation on Digits with 2M and K = 5.

    The levels are those of a fine grid, and with other noises the choice moves to the next one.
    """
    assert digits_error(name, 5) == pytest.approx(error, rel=tolerance)


@pytest.mark.parametrize(
    ("name", "cost"),
    [("constant_rate", 128), ("entropic", 128), ("score_optimal", 190), ("gits", 61), ("elbo", 320)],
)
def test_what_a_fit_costs(name: str, cost: int) -> None:
    denoiser = Counted(get_task("ring_2d"))
    fitted_grid(name, 5, denoiser, noises("ring_2d")[:8])
    assert denoiser.evaluations == 8 * cost


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
    with pytest.raises(ValueError, match="'gits' needs latents of at least 2 elements, got 1: take 'gits_l2'"):
        fitted_grid("gits", 5, denoiser, noises("gaussian_1d"))
