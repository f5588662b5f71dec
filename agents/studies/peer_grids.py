"""All grids that need no search through a solver, published or ours: errors and costs side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.denoisers.threads import one_thread
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers.plans import Plan
from art_gym.schedules.fitted.base import FITTED, NOISES, fitted_grid
from art_gym.schedules.grids.base import GRIDS, make_grid
from art_gym.search.instant import find
from art_gym.tasks.references import find_reference
from art_gym.tasks.target import Target

from .study import Record, Study, markdown

TASKS = ("digits", "ring_2d", "mixture_1d")
SOLVER, STEPS = "dpmpp_2m", (5, 7, 10)
INSTANT, ORACLE = "instant", "best grid known"
UNDEFINED = ("mixture_1d", "gits")  # a path in one dimension does not leave its line

Errors = dict[tuple[str, int], float]  # by task and K


def peer_grids(out: Path, seeds: Sequence[int], quick: bool) -> str:
    """Errors by method, task and K. Fits are to the first training noises, so seeds play no role."""
    study = Study("peers", out)
    tasks, steps = TASKS[-1:] if quick else TASKS, STEPS[:1] if quick else STEPS
    settings = [(task, k) for task in tasks for k in steps]
    with one_thread():
        records = {
            name: [
                study.once({"task": task, "method": name, "num_steps": k}, partial(measured, task, name, k))
                for task, k in settings
                if (task, name) != UNDEFINED
            ]
            for name in (*GRIDS, *FITTED, INSTANT)
        }
    best = {(task, k): _oracle_error(task, k) for task, k in settings}
    errors = {name: {(r["task"], r["num_steps"]): r["error"] for r in found} for name, found in records.items()}
    ratios = {name: _ratio(found, best) for name, found in errors.items() if found}
    least = {setting: min(found.get(setting, np.inf) for found in errors.values()) for setting in settings}
    rows = [[ORACLE, *_cells(best, {}, tasks, steps), "1.00", "", "", ""]]
    for name in sorted(ratios, key=lambda name: ratios[name]):
        costs = {part: max(record[part] for record in records[name]) for part in ("calls", "evaluations", "seconds")}
        spent = [f"{costs['calls']:,}", f"{costs['evaluations']:,}", f"{costs['seconds']:.1f}"]
        rows.append([name, *_cells(errors[name], least, tasks, steps), f"{ratios[name]:.2f}", *spent])
    heads = ["grid", *(f"{task}: K = {' / '.join(map(str, steps))}" for task in tasks)]
    return study.finish(
        "Grids without a search", markdown([*heads, "ratio to the best", "calls", "evaluations", "seconds"], rows)
    )


def measured(task: str, name: str, num_steps: int) -> Record:
    """The error on 2048 held-out noises, and what the grid costs: calls, evaluations of single latents, and seconds."""
    target = Target.of(task, SOLVER)
    start = target.noises("train", NOISES)[0]
    counted = Counted(target.denoiser)
    began = time.perf_counter()
    if name in GRIDS:
        plan: Plan = make_grid(name, num_steps, counted)
    elif name in FITTED:
        plan = fitted_grid(name, num_steps, counted, start)
    else:
        plan = find(counted, num_steps, SOLVER).plan
    seconds = time.perf_counter() - began
    return {
        "error": evaluate_plan(target, plan, distances=False).error,
        "calls": counted.calls,
        "evaluations": counted.evaluations,
        "seconds": seconds,
    }


def _oracle_error(task: str, num_steps: int) -> float:
    reference = find_reference(Target.of(task, SOLVER), num_steps)
    assert reference is not None  # these tasks ship theirs
    return reference.oracle_error


def _ratio(errors: Errors, best: Errors) -> float:
    """The geometric mean over settings of an error in units of the best grid's."""
    return float(np.exp(np.mean([np.log(error / best[setting]) for setting, error in errors.items()])))


def _cells(errors: Errors, least: Errors, tasks: Sequence[str], steps: Sequence[int]) -> list[str]:
    """A cell for each task, with the least errors of a setting in bold."""

    def text(setting: tuple[str, int]) -> str:
        if setting not in errors:
            return "–"
        bold = "**" if errors[setting] == least.get(setting) else ""
        return f"{bold}{errors[setting]:.4f}{bold}"

    return [" / ".join(text((task, k)) for k in steps) for task in tasks]
