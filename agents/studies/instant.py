"""Schedules from fewer than 1,000 evaluations, beside their rivals: on tasks and models that training never saw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.denoisers.threads import one_thread
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.plans import Plan, draw, levels_of
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.schedules.instant import load_policy
from art_gym.schedules.probe import probe
from art_gym.search.gauss_newton import GaussNewton
from art_gym.search.instant import SECOND, find
from art_gym.search.least_squares import by_error
from art_gym.search.tuned import tuned
from art_gym.solvers.base import get_solver
from art_gym.tasks.random_models import TEST_SEEDS, random_model
from art_gym.tasks.references import find_reference
from art_gym.tasks.target import Target

from ..reports.method_pictures import method_errors
from ..training.instant_examples import noises_of
from .instant_tables import tables
from .study import Record, Study

TASKS = {  # with how many noises are held out
    "ring_2d": 2048,
    "checkerboard_2d": 2048,
    "mixture_1d": 2048,
    "digits": 2048,
    "digits_net": 256,
    "photos_net": 96,
}
SOLVERS, STEPS = (SECOND, "euler"), (5, 7, 10)
TEST_MODELS, JACOBIANS = 50, 10
WITH_BEST = 20  # of the test models, the ones whose best grids are searched
FITTED, MEASURED = 256, 512  # noises of a test model: for its best grid, and others for all errors
PICTURED = SECOND  # the solver of the picture
TUNED = {"EDM, tuned": "edm", "log-normal, tuned": "log_normal"}
PROBED = ("closed form", "without correction")  # from a probe of 768 evaluations
METHODS = ("EDM", *TUNED, *PROBED, "instant", "best grid")
SAMPLER = "instant sampler"
PROBES = ((1, 48), (4, 24), (4, 48), (8, 24), (8, 48), (16, 24), (16, 48), (64, 48))  # noises and levels
BUDGETS = (
    200,
    500,
    1000,
    2000,
    4000,
)  # evaluations for instant schedules in all; the first ones pay for the probe alone
STARTS = ("arctan", "cosine")  # of the best grids of random models, beside the closed form and the instant schedule
TRAINING, FEW = 96, 5  # noises and Jacobians for the best grids of networks, from the closed form and instant
TUNING, TUNING_SLOW = 64, {"photos_net": 16}  # training noises for tuned grids, whose evaluations do not count


def instant_schedules(out: Path, seeds: Sequence[int], quick: bool) -> str:
    """The study. It needs no seeds, because the probe and the noises are fixed."""
    study, trained = Study("instant", out, revision=2), load_policy().facts["command"]
    tasks = [*TASKS][:2] if quick else [*TASKS]
    keys = [(solver, num_steps) for solver in SOLVERS for num_steps in STEPS[: 1 if quick else None]]
    models = TEST_SEEDS[: 5 if quick else TEST_MODELS]
    records = []
    with one_thread():
        for task, (solver, num_steps) in ((task, key) for task in tasks for key in keys):
            key = {"task": task, "solver": solver, "num_steps": num_steps, "trained": trained}
            records.append(study.once(key, partial(on_task, task, solver, num_steps)))
        for solver, num_steps in keys:
            few = models[:WITH_BEST]
            key = {"models": len(few), "solver": solver, "num_steps": num_steps, "trained": trained}
            records.append(study.once(key, partial(on_models, few, solver, num_steps)))
        for noises, levels in PROBES[: 2 if quick else None]:
            key = {"noises": noises, "levels": levels, "models": len(models), "trained": trained}
            records.append(study.once(key, partial(on_probe, noises, levels, models)))
        for budget in BUDGETS[: 2 if quick else None]:
            key = {"budget": budget, "models": len(models), "trained": trained}
            records.append(study.once(key, partial(on_budget, budget, models)))
    records = [_with_best_known(record) for record in records]
    errors: dict[str, dict[str, dict[int, float]]] = {}
    for record in records:
        if "task" in record and record["solver"] == PICTURED:
            for name, error in record["errors"].items():
                errors.setdefault(record["task"], {}).setdefault(name, {})[record["num_steps"]] = error
    method_errors(study.folder / "instant.png", errors, highlight=["instant", SAMPLER], compare="best grid")
    return study.finish("A schedule from one probe and one correction", tables(records, [*TASKS], METHODS, SAMPLER))


def _with_best_known(record: Record) -> Record:
    """A task's record with the best grid known today, which may be better than the one when it was made."""
    if "task" not in record:
        return record
    known = find_reference(Target.of(record["task"], record["solver"]), record["num_steps"])
    best = record["errors"]["best grid"] if known is None else known.oracle_error
    return {**record, "errors": {**record["errors"], "best grid": best}}


def on_task(task: str, solver: str, num_steps: int) -> Record:
    """The mean endpoint errors on a task, whose best grid is a stored one."""
    target = Target.of(task, solver)
    denoiser, found = target.denoiser, find(target.denoiser, num_steps, solver)
    noises = target.noises("train", TUNING_SLOW.get(task, TUNING))
    plans: dict[str, Plan] = {"EDM": make_grid("edm", num_steps, denoiser)}
    plans |= {label: tuned(name, num_steps, denoiser, solver, *noises)[0] for label, name in TUNED.items()}
    seen = probe(denoiser)
    plans |= dict(
        zip(PROBED, (seen.closed_form(num_steps), load_policy().levels(seen, num_steps, solver)), strict=True)
    )
    plans["instant"] = found.plan
    best = best_known(target, num_steps)
    plans["best grid"] = searched(target, [plans[name] for name in (*PROBED, "instant")]) if best is None else best
    if solver == SECOND:
        plans[SAMPLER] = find(denoiser, num_steps, sampler=True).plan
    errors = {name: evaluate_plan(target, plan, TASKS[task], distances=False).error for name, plan in plans.items()}
    return {"errors": errors, "evaluations": found.evaluations, "distance": found.distance, "known": found.known}


def best_known(target: Target, num_steps: int) -> np.ndarray | None:
    """(K+1,) levels of the stored oracle, or None without one."""
    reference = find_reference(target, num_steps)
    return None if reference is None else np.array(reference.oracle_sigmas)


def searched(target: Target, starts: Sequence[Plan]) -> np.ndarray:
    """(K+1,) levels by Gauss-Newton on training noise from several starts, for tasks without a stored oracle."""
    denoiser = Counted(target.denoiser)
    fit = GaussNewton(denoiser, target.solver, *target.noises("train", TRAINING))
    fits = [fit.improve(logits_from_levels(levels_of(start), denoiser), FEW) for start in starts]
    levels: np.ndarray = levels_from_logits(min(fits, key=by_error).numbers, denoiser)
    return levels


class Case(NamedTuple):
    """A test model with noises and their precise endpoints.

    Attributes:
        denoiser: the model.
        fitted: (FITTED, d) twice, for its best grid.
        start, endpoints: (MEASURED, d) others, for all errors.
    """

    denoiser: Denoiser
    fitted: tuple[np.ndarray, np.ndarray]
    start: np.ndarray
    endpoints: np.ndarray

    @classmethod
    def of(cls, seed: int) -> Case:
        """The case of a random model."""
        model = random_model(seed)
        start, endpoints = noises_of(model, np.random.default_rng([seed, 8]), FITTED + MEASURED)
        return cls(model, (start[:FITTED], endpoints[:FITTED]), start[FITTED:], endpoints[FITTED:])

    def error(self, plan: Plan, solver: str) -> float:
        """The mean endpoint error of a plan, in units of the model's data."""
        samples = draw(self.denoiser, plan, self.start, solver)
        return float(endpoint_error(samples, self.endpoints).mean()) / self.denoiser.data_std


def on_probe(noises: int, levels: int, models: Sequence[int]) -> Record:
    """Errors on random models with another probe and no correction: K = 7, 2M, in units of the data."""
    policy, errors, evaluations = load_policy(), [], 0
    for case in map(Case.of, models):
        found = probe(case.denoiser, noises, levels)
        errors.append(case.error(policy.levels(found, 7, SECOND), SECOND))
        evaluations = max(evaluations, found.evaluations)
    return {"errors": errors, "evaluations": evaluations}


def on_budget(budget: int, models: Sequence[int]) -> Record:
    """Errors of instant schedules on random models with another budget: K = 7, 2M, in units of the data."""
    errors, evaluations = [], []
    for case in map(Case.of, models):
        found = find(case.denoiser, 7, SECOND, budget=budget)
        errors.append(case.error(found.plan, SECOND))
        evaluations.append(found.evaluations)
    return {"errors": errors, "evaluations": max(evaluations)}


def on_models(models: Sequence[int], solver: str, num_steps: int) -> Record:
    """Errors on random models, in units of the data, and how many are unlike those of the training.

    The best grids come from Gauss-Newton on other noises, from many starts, those that are compared among them.
    """
    errors: dict[str, list[float]] = {}
    known, policy = 0, load_policy()
    for case in map(Case.of, models):
        denoiser = Counted(case.denoiser)
        found, seen = find(case.denoiser, num_steps, solver), probe(case.denoiser)
        plans: dict[str, Plan] = {
            "EDM": make_grid("edm", num_steps, denoiser),
            "closed form": seen.closed_form(num_steps),
            "without correction": policy.levels(seen, num_steps, solver),
            "instant": found.plan,
        }
        fit = GaussNewton(denoiser, get_solver(solver), *case.fitted)
        starts = [*map(levels_of, plans.values()), *(make_grid(name, num_steps, denoiser) for name in STARTS)]
        fits = [fit.improve(logits_from_levels(levels, denoiser), JACOBIANS) for levels in starts]
        plans["best grid"] = levels_from_logits(min(fits, key=by_error).numbers, denoiser)
        if solver == SECOND:
            plans[SAMPLER] = find(case.denoiser, num_steps, sampler=True).plan
        for name, plan in plans.items():
            errors.setdefault(name, []).append(case.error(plan, solver))
        known += found.known
    return {"errors": errors, "known": known}
