"""Draw schedules and training curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from art_gym.schedules.grids.edm import edm
from art_gym.schedules.schedule import Schedule
from art_gym.tasks.registry import resolve, task_names

from ..reports import pictures
from ..runs.folder import Run


def plot_things(what: Sequence[Path], out: Path) -> list[Path]:
    """The command ``plot``. Returns the files drawn. Raises a ValueError if there is nothing to draw."""
    if not what:
        raise ValueError("name what to draw: schedule files or run folders")
    files: list[Path] = []
    found: dict[str, Schedule] = {}
    for thing, name in _told_apart(what).items():
        run = Run(thing)
        if (thing / "config.yaml").is_file():
            history = run.history()
            for point_k in sorted(set().union(*(point.errors for point in history))):  # a search has one per point
                points = [point for point in history if point_k in point.errors]
                steps, errors = [point.steps for point in points], [point.errors[point_k] for point in points]
                file = out / f"training_{name.replace('/', '_')}_K{point_k}.png"
                files.append(
                    pictures.training_curve(file, steps, errors, {}, x_label=f"environment steps (K = {point_k})")
                )
            schedules = {file.stem: Schedule.load(file) for file in thing.glob("schedule_K*.json")}
            for stem, schedule in sorted(schedules.items(), key=lambda each: each[1].num_steps):
                found[f"{name} {stem}"] = schedule
        elif thing.is_dir():
            raise ValueError(f"{thing} holds no run, since it has no config.yaml")
        else:
            found[name.removesuffix(".json")] = Schedule.load(thing)
    if found:
        grids = {name: np.array(schedule.sigmas) for name, schedule in found.items()}
        for num_steps, top, least in sorted(set().union(*map(_edm_ends, found.values()))):
            beside = edm(np.linspace(0, 1, num_steps), top, least, 7.0)
            grids[f"EDM ρ=7, K = {num_steps}, from {top:.3g} to {least:.3g}"] = np.append(beside, 0.0)
        files.append(pictures.schedules(out / "schedules.png", grids))
    if not files:
        raise ValueError(f"{', '.join(map(str, what))}: no schedule and no history yet, continue with train --resume")
    return files


def _edm_ends(schedule: Schedule) -> set[tuple[int, float, float]]:
    """K, σ_max and σ_min of EDM's grid beside a schedule, empty if its model's σ_min is unknown."""
    task = schedule.task or ""
    if task.partition("?")[0] not in task_names():
        return set()
    return {(schedule.num_steps, schedule.sigmas[0], resolve(task).sigma_min)}


def _told_apart(what: Sequence[Path]) -> dict[Path, str]:
    """A distinct name for each path from its last parts, as few as possible, since runs use the same file names."""
    whole = {thing.resolve(): thing for thing in what}
    for depth in range(1, 1 + max(len(path.parts) for path in whole)):
        names = ["/".join(path.parts[-depth:]) for path in whole]
        if len(set(names)) == len(names):
            break
    return dict(zip(whole.values(), names, strict=True))
