"""Every method keeps the protocol: it fits its cells, pays for what it calls, and gives a plan or a policy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from art_gym.agents.benchmark import measure
from art_gym.agents.benchmark.measure import Job, hyperparameters, run_job
from art_gym.agents.benchmark.method import METHODS, endpoint_cost
from art_gym.agents.benchmark.methods import agents, samplers
from art_gym.agents.benchmark.suite import SAMPLER, Cell, load_suite
from art_gym.agents.studies.peers import Learning
from art_gym.agents.studies.spanlift import Lifted, new_operator
from art_gym.denoisers.base import Denoiser
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers.coefficients import Coefficients
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

BUDGET, NOISES = 30_000, 128
OVERSPENT = 2.0  # a search ends what it began
FIXED = [name for name in METHODS if METHODS[name].kind not in ("RL", "floor") and name != "spanlift"]


@pytest.fixture(autouse=True)
def small_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_suite("v1")
    groups = tuple(replace(group, budget=BUDGET, noises=NOISES, training=128) for group in whole.groups)
    monkeypatch.setattr(measure, "load_suite", lambda name: replace(whole, groups=groups))


def cell_of(name: str) -> Cell:
    return Cell("ring_2d", SAMPLER if METHODS[name].actions == SAMPLER else "dpmpp_2m", 3)


@pytest.mark.parametrize("name", FIXED)
def test_a_plan_and_its_cost(name: str) -> None:
    line = run_job(Job("v1", name, cell_of(name), 1), "abc")
    method = METHODS[name]
    assert line.sigmas is not None
    assert len(line.sigmas) == 4
    assert (line.told is not None) == (method.actions == SAMPLER)
    assert (line.kind, line.actions, line.steps) == (method.kind, method.actions, 0)
    assert line.error > 0
    if method.kind == "hand-made":
        assert line.calls == 0
    elif "search" in method.kind or method.kind == "gradient":
        assert BUDGET / 2 < line.calls < OVERSPENT * BUDGET
    else:
        assert line.calls > 0


def test_endpoints_are_paid_for() -> None:
    line = run_job(Job("v1", "log_normal_tuned", Cell("ring_2d", "euler", 3), 0), "abc")
    cost = endpoint_cost(get_task("ring_2d"))
    noises = BUDGET // 2 // cost
    assert line.calls > noises * cost


def test_the_error_is_that_of_evaluate_on_the_noises_of_the_seed() -> None:
    cell = Cell("ring_2d", "euler", 5)
    target = Target.of("ring_2d", "euler")
    first = load_suite("v1").group(cell).firsts
    for seed in (0, 2):
        line = run_job(Job("v1", "cosine", cell, seed), "abc")
        assert line.sigmas is not None
        expected = evaluate_plan(target, np.array(line.sigmas), NOISES, first[seed], distances=False).error
        assert line.error == pytest.approx(expected, rel=1e-5)


def test_a_seed_is_repeatable_and_another_one_differs() -> None:
    cell = Cell("ring_2d", "euler", 3)
    first, again, other = (run_job(Job("v1", "cma", cell, seed), "abc") for seed in (0, 0, 1))
    assert first.sigmas == again.sigmas
    assert first.sigmas != other.sigmas


@pytest.mark.parametrize("name", ["action_0", "random"])
def test_floors(name: str) -> None:
    line = run_job(Job("v1", name, Cell("ring_2d", "euler", 3), 0), "abc")
    assert line.sigmas is None
    assert line.error > 0


def test_tpdm_has_a_plan_and_the_budget_of_searches() -> None:
    line = run_job(Job("v1", "tpdm", Cell("ring_2d", "heun", 3), 1), "abc")
    assert line.sigmas is not None
    assert len(line.sigmas) == 4
    assert BUDGET / 2 < line.calls < OVERSPENT * BUDGET
    endpoints = BUDGET // 2 // endpoint_cost(get_task("ring_2d")) * endpoint_cost(get_task("ring_2d"))
    assert (line.calls - endpoints) * 3 == line.steps * 64 * 5  # Heun takes 5 calls in 3 steps


def test_spanlift_has_no_plan_and_the_budget_of_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its residuals, its error is that of its solver on the noises of the seed."""
    job, bases = Job("v1", "spanlift", Cell("ring_2d", SAMPLER, 3), 1), []

    def unlifted(denoiser: Denoiser, base: Coefficients, how: Learning) -> Lifted:
        bases.append(base)
        return Lifted(base, new_operator(denoiser.shape, 3, 0))

    line = run_job(job, "abc")
    assert line.sigmas is None
    assert line.steps == 0
    assert BUDGET / 2 < line.calls < OVERSPENT * BUDGET
    monkeypatch.setattr(samplers, "spanlift", unlifted)
    without = run_job(job, "abc")
    first = load_suite("v1").group(job.cell).firsts[1]
    expected = evaluate_plan(Target.of("ring_2d"), bases[0].sigmas, NOISES, first, distances=False).error
    assert without.error == pytest.approx(expected, rel=1e-4)
    assert line.error < without.error


@pytest.mark.slow
def test_a_family_gets_a_grid_for_each_model() -> None:
    cell = Cell("procedural_test", "drawn", 5)
    nothing = run_job(Job("v1", "edm", cell, 0), "abc")
    own = run_job(Job("v1", "instant", cell, 0), "abc")
    assert own.error < 0.6 * nothing.error
    assert own.sigmas is None
    assert 700 < own.calls < 900  # of one model


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["euler", SAMPLER])
def test_an_agent(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = agents._config
    monkeypatch.setattr(agents, "_config", lambda *given: replace(recipe(*given), n_timesteps=2000))
    name = "sampler_ppo" if solver == SAMPLER else "ppo"
    line = run_job(Job("v1", name, Cell("gaussian_1d", solver, 3), 1), "abc")
    assert line.steps >= 1900
    assert line.calls > 2000 * 64
    assert line.sigmas is None  # so short a run has no search, and its policy follows the sample


def test_what_a_method_does_not_fit() -> None:
    assert not METHODS["gits"].takes(Cell("gaussian_1d", "euler", 5))
    assert METHODS["gits"].takes(Cell("ring_2d", "euler", 5))
    assert not METHODS["instant"].takes(Cell("ring_2d", "heun", 5))
    assert not METHODS["ppo"].takes(Cell("digits_net", "euler", 5))
    assert not METHODS["edm"].takes(Cell("digits", SAMPLER, 5))


def test_the_hash_follows_recipe_and_budget() -> None:
    cells = [Cell("ring_2d", "euler", k) for k in (5, 7)]
    assert hyperparameters(Job("v1", "ppo", cells[0], 0)) == hyperparameters(Job("v1", "ppo", cells[0], 1))
    assert hyperparameters(Job("v1", "ppo", cells[0], 0)) != hyperparameters(Job("v1", "ppo", cells[1], 0))
    small = hyperparameters(Job("v1", "cma", cells[0], 0))
    assert small != measure.hash_of("cma", METHODS["cma"].settings(cells[0], load_suite("v1").group(cells[0])))
