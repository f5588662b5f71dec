"""Schedules of the shipped networks at other K, with other solvers and on other tasks (the paper's Tables 4 to 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from art_gym.schedules.grids.base import edm_grid
from art_gym.schedules.schedule import Schedule
from art_gym.tasks.registry import resolve

from .network_grids import EDM_TUNED, SOLVERS, TASKS, Levels, learn_schedule, tuned_once
from .network_measures import error_of
from .study import Study, markdown, mean_and_range, of_seeds

LEARNED_AT = 10  # steps of the schedules that are used elsewhere
ACROSS_STEPS = (5, 7, 10, 14, 20)
ACROSS = ("digits", "digits_net", "digits_class?guidance=2", "digits_inpaint", "photos_net")


def _schedules(study: Study, task: str, solver: str, num_steps: int, seeds: tuple[int, ...]) -> list[Schedule]:
    """The schedules learned with each seed."""
    key = {"task": task, "solver": solver, "num_steps": num_steps, "method": "schedule to transfer"}
    found = []
    for seed in seeds:
        record = study.once(
            {**key, "seed": seed},
            lambda seed=seed: {"sigmas": learn_schedule(task, solver, num_steps, seed).tolist()},  # type: ignore[misc]
        )
        found.append(Schedule(tuple(record["sigmas"]), "defect", task, solver))
    return found


def across_steps(study: Study, seeds: tuple[int, ...]) -> str:
    """A table of errors at other K, by resampling."""
    lines = []
    for task in TASKS:
        moved = _schedules(study, task, "dpmpp_2m", LEARNED_AT, seeds)
        by_steps: dict[str, list[str]] = {}
        for k in ACROSS_STEPS:
            rows: dict[str, Sequence[Levels]] = {
                "EDM": [edm_grid(k, resolve(task))],
                EDM_TUNED: [tuned_once(study, task, "dpmpp_2m", k)],
                f"learned at K = {LEARNED_AT}, resampled": [schedule.resample(k) for schedule in moved],
                "learned at each K": _schedules(study, task, "dpmpp_2m", k, seeds),
            }
            for name, grids in rows.items():
                # EDM has one grid, which is stored under the first seed.
                found = _across_errors(study, task, name, k, dict(zip(seeds, grids, strict=False)))
                by_steps.setdefault(name, []).append(mean_and_range(found))
        lines += [[f"{task}, {name}", *cells] for name, cells in by_steps.items()]
    table = markdown(["", *(f"K = {k}" for k in ACROSS_STEPS)], lines)
    return f"### Across K, dpmpp_2m: mean endpoint error, {of_seeds(seeds)}\n\n{table}"


def _across_errors(study: Study, task: str, name: str, num_steps: int, grids: dict[int, Levels]) -> list[float]:
    """Errors of the grids of each seed."""
    key = {"across": "steps", "task": task, "grid": name, "num_steps": num_steps}
    return [
        study.once(
            {**key, "seed": seed},
            lambda levels=levels: {"error": error_of(task, "dpmpp_2m", levels)},  # type: ignore[misc]
        )["error"]
        for seed, levels in grids.items()
    ]


def across_solvers(study: Study, seeds: tuple[int, ...]) -> str:
    """A table of errors with other solvers."""
    lines = [
        [f"{task}, {source}", *(_gains(study, task, source, task, target, seeds) for target in SOLVERS)]
        for task in TASKS
        for source in SOLVERS
    ]
    table = markdown(["learned with / used with", *SOLVERS], lines)
    title = (
        f"Across solvers, K = {LEARNED_AT}: error over EDM's with the solver that it is used with, {of_seeds(seeds)}"
    )
    return f"### {title}\n\n{table}"


def across_tasks(study: Study, seeds: tuple[int, ...]) -> str:
    """A table of errors on other tasks."""
    lines = [
        [source, *(_gains(study, source, "dpmpp_2m", target, "dpmpp_2m", seeds) for target in ACROSS)]
        for source in ACROSS
    ]
    table = markdown(["learned on / used on", *ACROSS], lines)
    title = (
        f"Across tasks, dpmpp_2m, K = {LEARNED_AT}: error over EDM's on the task that it is used on, {of_seeds(seeds)}"
    )
    return f"### {title}\n\n{table}"


def _gains(study: Study, source: str, learned: str, target: str, used: str, seeds: tuple[int, ...]) -> str:
    denoiser, errors = resolve(target), []
    for seed, schedule in zip(seeds, _schedules(study, source, learned, LEARNED_AT, seeds), strict=True):
        inner = np.clip(schedule.sigmas[1:-1], denoiser.sigma_min, 0.999 * denoiser.sigma_max)
        moved = np.array([denoiser.sigma_max, *inner, 0.0])  # starts at the σ_max of the target task
        record = study.once(
            {"across": "uses", "source": source, "learned": learned, "target": target, "used": used, "seed": seed},
            lambda moved=moved: {"error": error_of(target, used, moved)},  # type: ignore[misc]
        )
        errors.append(record["error"])
    edm = study.once(
        {"across": "EDM", "target": target, "used": used},
        lambda: {"error": error_of(target, used, edm_grid(LEARNED_AT, denoiser))},
    )["error"]
    return mean_and_range([error / edm for error in errors], 2)
