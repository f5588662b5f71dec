"""One job: run a method in a cell with a seed, and measure what it found."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from art_gym.common.isolation import isolated
from art_gym.denoisers.base import Counted
from art_gym.denoisers.threads import one_thread
from art_gym.evaluation.families import error_of_grids
from art_gym.samplers.plans import Plan, levels_of
from art_gym.solvers.base import get_solver
from art_gym.tasks.families.base import Family
from art_gym.tasks.noise_bank import Same, precise_endpoints
from art_gym.tasks.target import Target

from .method import METHODS, Found, Method, Problem
from .results import Line, hash_of, numbers_of
from .scale import load_scale, measured, target_of
from .suite import Cell, Group, load_suite

ROLLED = 512  # training noises by which the order of two seeds differs
NOISE_STREAM = 31  # apart from those of banks, environments and other searches for families


class Job(NamedTuple):
    """What to run.

    Attributes:
        suite: its name.
        algorithm: name of the method.
        cell, seed: where.
    """

    suite: str
    algorithm: str
    cell: Cell
    seed: int


def hyperparameters(job: Job) -> str:
    """The hash of the method's hyperparameters in the job's cell."""
    method, group = METHODS.find(job.algorithm), load_suite(job.suite).group(job.cell)
    return hash_of(job.algorithm, method.settings(job.cell, group))


@isolated()
def run_job(job: Job, commit: str) -> Line:
    """Run the method and measure it on the held-out noises of the seed."""
    method, cell = METHODS.find(job.algorithm), job.cell
    group = load_suite(job.suite).group(cell)
    target, first = target_of(cell), group.firsts[job.seed]
    target.noises("heldout", first + group.noises)  # before the clock starts, as those for training
    with one_thread():
        if isinstance(target.denoiser, Family) and method.kind not in ("RL", "floor"):
            error, cost, plan = _of_family(method, target, cell, group, job.seed)
        else:
            error, cost, plan = _of_model(method, target, cell, group, job.seed)
    return Line(
        suite=job.suite,
        algorithm=job.algorithm,
        kind=method.kind,
        actions=method.actions,
        task=cell.task,
        solver=cell.solver,
        num_steps=cell.num_steps,
        seed=job.seed,
        commit=commit,
        error=error,
        score=load_scale(job.suite)[cell].score(error, job.seed),
        hyperparameters=hyperparameters(job),
        **cost,
        **numbers_of(plan),
    )


Result = tuple[float, dict[str, Any], Plan | None]  # error, cost and plan


def _of_model(method: Method, target: Target, cell: Cell, group: Group, seed: int) -> Result:
    target.noises("train", group.training)
    order = np.roll(np.arange(group.training), -ROLLED * seed)

    def bank(count: int, endpoints: bool) -> tuple[np.ndarray, np.ndarray]:
        start, ends = target.noises("train", group.training)
        return start[order[:count]], ends[order[:count]]

    found, cost = _timed(
        method, Problem(cell, Counted(target.denoiser), target.solver, seed, group.budget, group.training, bank)
    )
    first = group.firsts[seed]
    if found.error is not None:
        return found.error(group.noises, first), cost, found.plan
    assert found.plan is not None
    return measured(target, found.plan, group, first), cost, found.plan


def _of_family(method: Method, target: Target, cell: Cell, group: Group, seed: int) -> Result:
    """A grid for each model, and the mean cost for a model."""
    family = target.denoiser
    assert isinstance(family, Family)
    grids, costs = [], []
    for number, solver in enumerate(family.solvers(np.arange(len(family.seeds)))):
        model = family.model(number)
        found, cost = _timed(
            method,
            Problem(
                Cell(cell.task, solver, cell.num_steps),
                Counted(model),
                get_solver(solver),
                seed,
                group.budget,
                group.training,
                _bank_of_model(Same(family), number, seed, group.training),
            ),
        )
        assert found.plan is not None
        grids.append(levels_of(found.plan).tolist())
        costs.append(cost)
    mean = {name: type(value)(np.mean([cost[name] for cost in costs])) for name, value in costs[0].items()}
    return error_of_grids(target, grids, group.noises, group.firsts[seed]), mean, None


def _bank_of_model(
    family: Same, number: int, seed: int, training: int
) -> Callable[[int, bool], tuple[np.ndarray, np.ndarray]]:
    def bank(count: int, endpoints: bool) -> tuple[np.ndarray, np.ndarray]:
        start = _start_of_model(family, number, seed, training)[:count]
        return start, (_ends_of_model(family, number, seed, count) if endpoints else start)

    return bank


@lru_cache(maxsize=256)
def _start_of_model(family: Same, number: int, seed: int, count: int) -> np.ndarray:
    model = family.one.model(number)
    noise = np.random.default_rng([seed, number, NOISE_STREAM]).standard_normal((count, *model.shape))
    return np.asarray(noise * model.sigma_max, np.float32)


@lru_cache(maxsize=256)
def _ends_of_model(family: Same, number: int, seed: int, count: int) -> np.ndarray:
    return precise_endpoints(family.one.model(number), _start_of_model(family, number, seed, count))


def _timed(method: Method, problem: Problem) -> tuple[Found, dict[str, Any]]:
    """What a method found, and its cost."""
    began = time.process_time()
    found = method.make(problem)
    seconds = time.process_time() - began
    return found, {"steps": found.steps, "calls": problem.calls + found.calls, "seconds": round(seconds, 4)}
