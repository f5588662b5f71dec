"""Searches for samplers: exact derivatives, better than the best grid, and no worse with more freedom."""

from __future__ import annotations

import numpy as np
import pytest

from art_gym.denoisers.base import Counted
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.sampler import Sampler
from art_gym.schedules import make_grid
from art_gym.search.base import SEARCHES, Sought
from art_gym.search.sampler_defect import sampler_defect
from art_gym.search.sampler_newton import SamplerNewton, within
from art_gym.search.spaces import Grids, Samplers
from art_gym.solvers.base import get_solver
from art_gym.tasks.references import find_reference
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

FREEDOMS = [Freedom(2, False), Freedom(1, True), Freedom(3, True), Freedom(shared=True)]


def problem(freedom: Freedom, num_steps: int = 5, count: int = 24) -> tuple[SamplerNewton, np.ndarray]:
    target = Target.of("digits", "dpmpp_2m")
    start, endpoints = (array[:count].astype(np.float64) for array in target.noises("train", 64))
    made = Sampler.of(make_grid("arctan", num_steps, target.denoiser), "dpmpp_2m").coefficients()
    made = made._replace(told=np.linspace(0.9, 1.05, num_steps))
    newton = SamplerNewton(
        Counted(target.denoiser), num_steps, within(freedom, num_steps, target.denoiser), start, endpoints
    )
    return newton, freedom.numbers(made, target.denoiser)


@pytest.mark.parametrize("freedom", FREEDOMS, ids=lambda freedom: freedom.name)
def test_the_jacobian_is_that_of_whole_runs(freedom: Freedom) -> None:
    newton, numbers = problem(freedom)
    at = newton.point(numbers)
    found = newton.jacobian(at)
    for i in range(len(numbers)):
        moved = 1e-4 * np.eye(len(numbers))[i]
        expected = (newton.point(numbers + moved).defect - newton.point(numbers - moved).defect) / 2e-4
        assert np.linalg.norm(found[i] - expected) < 0.15 * np.linalg.norm(expected)  # one-sided differences


def test_a_jacobian_costs_what_is_left_of_each_run() -> None:
    newton, numbers = problem(Freedom(3, True))
    at = newton.point(numbers)
    before = newton.denoiser.evaluations
    newton.jacobian(at)
    levels, told, weights = 4 + 3 + 2 + 1, 5 + 4 + 3 + 2 + 1, 3 + 2 * (2 + 1 + 0)
    assert newton.denoiser.evaluations - before == 24 * (levels + told + weights)


@pytest.mark.parametrize("freedom", FREEDOMS, ids=lambda freedom: freedom.name)
def test_improving_never_makes_it_worse(freedom: Freedom) -> None:
    newton, numbers = problem(freedom)
    errors = [newton.point(numbers).error, *(fit.error for fit in newton.improving(numbers, 8))]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.9 * errors[0]


def test_more_freedom_and_fewer_errors() -> None:
    """On held-out noises, with a fraction of the default budget."""
    target = Target.of("ring_2d", "dpmpp_2m")
    noises = target.noises("train", 1024)
    grid = find_reference(target, 5)
    assert grid is not None
    errors = [grid.oracle_error]
    for freedom in (Freedom(shared=True), Freedom(2, False), Freedom(3, True)):
        made = sampler_defect(
            target.denoiser, 5, freedom, *noises, evaluations=1e6, levels=np.array(grid.oracle_sigmas)
        )
        errors.append(evaluate_plan(target, made, distances=False).error)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.parametrize("name", ["cma", "gradient", "defect"])
def test_every_search_finds_samplers(name: str) -> None:
    target = Target.of("mixture_1d", "dpmpp_2m")
    noises = target.noises("train", 512)
    steps = {"cma": 4 * 12 * 40, "gradient": 4 * 60, "defect": 200_000}[name]
    sought = Sought(Counted(target.denoiser), target.solver, 4, *noises, seed=0, steps=steps, freedom=Freedom(2, True))
    first = evaluate_plan(target, sought.space.plan(sought.space.first()), 256, distances=False).error
    *_, found = SEARCHES[name](sought)
    assert evaluate_plan(target, found.plan, 256, distances=False).error < 0.6 * first
    assert sought.denoiser.evaluations > 0


def test_spaces_begin_with_the_geometric_grid() -> None:
    digits = get_task("digits")
    grid = Grids(digits, 6, get_solver("dpmpp_2m"))
    space = Samplers(digits, 6, Freedom(2, False))
    noise = 80 * np.random.default_rng(0).standard_normal((3, 1, 8, 8))
    np.testing.assert_allclose(space.samples(space.first(), noise), grid.samples(grid.first(), noise), atol=1e-9)
    assert len(space.first()) == len(space.spreads()) == space.size == 5 + 5
