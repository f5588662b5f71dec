"""Draw schedules, samplers and training curves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from art_gym.samplers.plans import Document, levels_of, load
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.grids.edm import edm
from art_gym.tasks.registry import resolve, task_names

from ..reports import pictures, sampler_pictures
from ..runs.folder import Run
from ..runs.outcome import plan_files


def plot_things(what: Sequence[Path], out: Path) -> list[Path]:
    """The command ``plot``. Returns the files drawn. Raises a ValueError if there is nothing to draw."""
    if not what:
        raise ValueError("name what to draw: schedule files, sampler files or run folders")
    files: list[Path] = []
    found: dict[str, Document] = {}
    for thing, name in _told_apart(what).items():
        if (thing / "config.yaml").is_file():
            files += _training_curves(Run(thing), name, out)
            found |= {f"{name} {file.stem}": load(file) for file in plan_files(thing)}
        elif thing.is_dir():
            raise ValueError(f"{thing} holds no run, since it has no config.yaml")
        else:
            found[name.removesuffix(".json")] = load(thing)
    if found:
        files.append(pictures.schedules(out / "schedules.png", _grids(found)))
    for name, plan in found.items():
        if isinstance(plan, Sampler):
            file = out / f"{name.replace('/', '_').replace(' ', '_')}.png"
            files.append(sampler_pictures.sampler_picture(file, plan, name))
    if not files:
        raise ValueError(
            f"{', '.join(map(str, what))}: no schedule, no sampler and no history yet, continue with train --resume"
        )
    return files


def _training_curves(run: Run, name: str, out: Path) -> Iterator[Path]:
    """Draw the curve of each K."""
    history = run.history()
    for k in sorted(set().union(*(point.errors for point in history))):  # a search has one per point
        points = [point for point in history if k in point.errors]
        steps, errors = [point.steps for point in points], [point.errors[k] for point in points]
        file = out / f"training_{name.replace('/', '_')}_K{k}.png"
        yield pictures.training_curve(file, steps, errors, {}, x_label=f"environment steps (K = {k})")


def _grids(found: Mapping[str, Document]) -> dict[str, np.ndarray]:
    """The levels of all plans, and EDM's grids beside them."""
    grids = {name: levels_of(plan) for name, plan in found.items()}
    for num_steps, top, least in sorted(set().union(*map(_edm_ends, found.values()))):
        beside = edm(np.linspace(0, 1, num_steps), top, least, 7.0)
        grids[f"EDM ρ=7, K = {num_steps}, from {top:.3g} to {least:.3g}"] = np.append(beside, 0.0)
    return grids


def _edm_ends(plan: Document) -> set[tuple[int, float, float]]:
    """K, σ_max and σ_min of EDM's grid beside a plan, empty if its model's σ_min is unknown."""
    task = plan.task or ""
    if task.partition("?")[0] not in task_names():
        return set()
    return {(plan.num_steps, plan.sigmas[0], resolve(task).sigma_min)}


def _told_apart(what: Sequence[Path]) -> dict[Path, str]:
    """A distinct name for each path from its last parts, as few as possible, since runs use the same file names."""
    whole = {Path(os.path.realpath(thing)): thing for thing in what}
    for depth in range(1, 1 + max(len(path.parts) for path in whole)):
        names = ["/".join(path.parts[-depth:]) for path in whole]
        if len(set(names)) == len(names):
            break
    return dict(zip(whole.values(), names, strict=True))
