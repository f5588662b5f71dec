"""Schedules from one probe, beside closed forms and best grids: on tasks and random models that training never saw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.denoisers.threads import one_thread
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.plans import Plan, levels_of
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.schedules.instant import find, load_policy
from art_gym.schedules.probe import probe
from art_gym.search.gauss_newton import GaussNewton
from art_gym.solvers.base import get_solver
from art_gym.solvers.loop import integrate
from art_gym.tasks.random_models import TEST_SEEDS
from art_gym.tasks.references import find_reference
from art_gym.tasks.target import Target

from ..reports.method_pictures import method_errors
from ..training.instant import Example
from .study import Record, Study, markdown

TASKS = {  # with how many noises are held out
    "ring_2d": 2048,
    "checkerboard_2d": 2048,
    "mixture_1d": 2048,
    "digits": 2048,
    "digits_net": 256,
    "photos_net": 96,
}
SOLVERS, STEPS = ("dpmpp_2m", "euler"), (5, 7, 10)
TEST_MODELS, JACOBIANS = 50, 10
PICTURED = SOLVERS[0]  # the solver of the picture
METHODS = ("EDM", "closed form", "instant", "best grid")
PROBES = ((1, 48), (4, 24), (4, 48), (8, 48), (16, 24), (16, 48), (64, 48), (64, 128))  # noises and levels
STARTS = ("arctan", "cosine")  # of the best grids of random models, beside the closed form and the instant schedule
TRAINING, FEW = 96, 5  # noises and Jacobians for the best grids of networks, from the closed form and instant


def instant_schedules(out: Path, seeds: Sequence[int], quick: bool) -> str:
    """The study. It needs no seeds, because the probe and the noises are fixed."""
    study, trained = Study("instant", out), load_policy().facts
    tasks = [*TASKS][:2] if quick else [*TASKS]
    keys = [(solver, num_steps) for solver in SOLVERS for num_steps in STEPS[: 1 if quick else None]]
    records = []
    with one_thread():
        for task, (solver, num_steps) in ((task, key) for task in tasks for key in keys):
            key = {"task": task, "solver": solver, "num_steps": num_steps, "trained": trained["command"]}
            records.append(study.once(key, partial(on_task, task, solver, num_steps)))
        models = TEST_SEEDS[: 5 if quick else TEST_MODELS]
        for solver, num_steps in keys:
            key = {"models": len(models), "solver": solver, "num_steps": num_steps, "trained": trained["command"]}
            records.append(study.once(key, partial(on_models, models, solver, num_steps)))
        for noises, levels in PROBES[: 2 if quick else None]:
            key = {"noises": noises, "levels": levels, "models": len(models), "trained": trained["command"]}
            records.append(study.once(key, partial(on_probe, noises, levels, models)))
    records = [_with_best_known(record) for record in records]
    errors: dict[str, dict[str, dict[int, float]]] = {}
    for record in records:
        if "task" in record and record["solver"] == PICTURED:
            for name, error in record["errors"].items():
                errors.setdefault(record["task"], {}).setdefault(name, {})[record["num_steps"]] = error
    method_errors(study.folder / "instant.png", errors, highlight=["instant"], compare="best grid")
    return study.finish("A schedule from one probe", tables(records))


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
    found = find(target.denoiser, num_steps, solver)
    grids: dict[str, Plan] = {
        "EDM": make_grid("edm", num_steps, target.denoiser),
        "closed form": found.probe.closed_form(num_steps),
        "instant": found.schedule,
    }
    best = best_known(target, num_steps)
    grids["best grid"] = searched(target, [*grids.values()][1:]) if best is None else best
    errors = {name: evaluate_plan(target, grid, TASKS[task], distances=False).error for name, grid in grids.items()}
    return {"errors": errors, "evaluations": found.probe.evaluations, "distance": found.distance, "known": found.known}


def best_known(target: Target, num_steps: int) -> np.ndarray | None:
    """(K+1,) levels of the stored oracle, or None without one."""
    reference = find_reference(target, num_steps)
    return None if reference is None else np.array(reference.oracle_sigmas)


def searched(target: Target, starts: Sequence[Plan]) -> np.ndarray:
    """(K+1,) levels by Gauss-Newton on training noise from several starts, for tasks without a stored oracle."""
    denoiser = Counted(target.denoiser)
    fit = GaussNewton(denoiser, target.solver, *target.noises("train", TRAINING))
    fits = [fit.improve(logits_from_levels(levels_of(start), denoiser), FEW) for start in starts]
    levels: np.ndarray = levels_from_logits(min(fits, key=lambda found: found.error).numbers, denoiser)
    return levels


def on_probe(noises: int, levels: int, models: Sequence[int]) -> Record:
    """Errors on random models with another probe: K = 7, 2M, in units of the data."""
    policy, errors, evaluations = load_policy(), [], 0
    for seed in models:
        example = Example.of(seed)
        found = probe(example.denoiser, noises, levels)
        samples = integrate(example.denoiser, policy.levels(found, 7, "dpmpp_2m"), example.start, "dpmpp_2m")
        errors.append(float(endpoint_error(samples, example.endpoints).mean()) / example.denoiser.data_std)
        evaluations = max(evaluations, found.evaluations)
    return {"errors": errors, "evaluations": evaluations}


def on_models(models: Sequence[int], solver: str, num_steps: int) -> Record:
    """Errors on random models, in units of the data, and how many are unlike those of the training.

    The best grids come from Gauss-Newton on the very noises that all are measured on, so their errors are a little low.
    """
    errors: dict[str, list[float]] = {"EDM": [], "closed form": [], "instant": [], "best grid": []}
    known = 0
    for seed in models:
        example = Example.of(seed)
        denoiser, found = Counted(example.denoiser), find(example.denoiser, num_steps, solver)
        fit = GaussNewton(denoiser, get_solver(solver), example.start, example.endpoints)
        grids = {
            "EDM": make_grid("edm", num_steps, denoiser),
            "closed form": found.probe.closed_form(num_steps),
            "instant": np.array(found.schedule.sigmas),
        }
        for name, levels in grids.items():
            samples = integrate(denoiser, levels, example.start, solver)
            errors[name].append(float(endpoint_error(samples, example.endpoints).mean()) / denoiser.data_std)
        starts = [*grids.values(), *(make_grid(name, num_steps, denoiser) for name in STARTS)]
        fits = [fit.improve(logits_from_levels(levels, denoiser), JACOBIANS).error for levels in starts]
        errors["best grid"].append(min(*fits, errors["instant"][-1] * denoiser.data_std) / denoiser.data_std)
        known += found.known
    return {"errors": errors, "known": known}


def tables(records: list[Record]) -> str:
    """Errors on tasks, and ratios on random models."""
    tasks = [record for record in records if "task" in record]
    heads = ["task", "solver", "K", *METHODS, "instant / best", "instant / closed form"]
    lines = [
        [record["task"], record["solver"], str(record["num_steps"]), *_cells(record["errors"])]
        for record in sorted(tasks, key=lambda record: ([*TASKS].index(record["task"]), record["solver"]))
    ]
    models = [record for record in records if "known" in record and "models" in record]
    probes = [record for record in records if "noises" in record]
    finest = np.log(probes[-1]["errors"]).mean()
    return "\n\n".join(
        [
            f"Mean endpoint error on held-out noise; {tasks[0]['evaluations']} evaluations a probe.",
            markdown(heads, lines),
            "Random models that training never saw, geometric mean and median of the ratio of errors.",
            markdown(["solver", "K", "to the closed form", "better than it", "to the best grid"], map(_ratios, models)),
            "The same models with other probes, 2M, K = 7: geometric mean of the error over that of the finest probe.",
            markdown(
                ["noises", "levels", "evaluations", "error"],
                [
                    [
                        *(str(record[name]) for name in ("noises", "levels", "evaluations")),
                        f"{np.exp(np.log(record['errors']).mean() - finest):.3f}",
                    ]
                    for record in probes
                ],
            ),
        ]
    )


def _cells(errors: dict[str, float]) -> list[str]:
    numbers = [f"{errors[name]:.4f}" if name in errors else "—" for name in METHODS]
    over = [
        f"{errors['instant'] / errors[name]:.2f}" if name in errors else "—" for name in ("best grid", "closed form")
    ]
    return numbers + over


def _ratios(record: Record) -> list[str]:
    errors = {name: np.array(values) for name, values in record["errors"].items()}
    to_form, to_best = errors["instant"] / errors["closed form"], errors["instant"] / errors["best grid"]
    both = [f"{np.exp(np.log(ratio).mean()):.2f}, {np.median(ratio):.2f}" for ratio in (to_form, to_best)]
    return [record["solver"], str(record["num_steps"]), both[0], f"{(to_form < 1).mean():.0%}", both[1]]
