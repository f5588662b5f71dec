"""Evaluate schedules, samplers, policies and grids, in a table for each task and solver."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from art_gym.common.limits import MAX_STEPS
from art_gym.common.messages import short
from art_gym.common.registry import nearest
from art_gym.denoisers.base import check_levels
from art_gym.envs.ids import DEFAULT
from art_gym.evaluation.heldout import HELDOUT, whole_populations
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.plans import Document, levels_of, load
from art_gym.samplers.sampler import Sampler, check_told
from art_gym.schedules.fitted.base import FITTED, NOISES, fitted_grid
from art_gym.schedules.grids.base import GRIDS, edm_grid, make_grid
from art_gym.search.base import SEARCHES
from art_gym.tasks.target import Target

from ..reports.comparison import (
    Row,
    fitted_lines,
    floors,
    label,
    noises_of,
    remarks_on_scores,
    row,
    scored,
    table,
    tuned_grid,
    tuned_label,
)
from ..runs.config import config_name
from ..runs.folder import Run
from ..runs.outcome import plan_files
from ..training.policies import load_evaluator


def evaluate_things(
    what: Sequence[str], task: str | None, solver: str | None, noises: int, modules: Collection[str] = ()
) -> str:
    """The command ``evaluate``. Returns one table for each task and solver.

    Args:
        what: files, folders and grids.
        task, solver: to evaluate on, where files name none or you want others.
        noises: how many of the held-out noises.
        modules: your own modules that a run's folder may name.

    Raises:
        ValueError: if there is nothing to evaluate, a name, file or folder is invalid, or noises is out of range.
    """
    if not what:
        raise ValueError("name what to evaluate: schedule files, sampler files, run folders, or grids such as edm:10")
    check_noises(noises)
    named = {thing: grid for thing in what if (grid := _named_grid(thing))}
    found = [entry for thing in what if thing not in named for entry in _rows(thing, task, solver, noises, modules)]
    groups: dict[tuple[str, str], tuple[Target, list[Row]]] = {}
    for target, entry in found:
        groups.setdefault((target.task, target.solver.name), (target, []))[1].append(entry)
    if not groups:
        target = Target.of(task or DEFAULT, solver or "dpmpp_2m")
        groups[target.task, target.solver.name] = target, []
    return "\n\n".join(_table(target, rows, named, noises) for target, rows in groups.values())


def check_noises(noises: int) -> None:
    """Raise a ValueError for a number of held-out noises that there is not."""
    if not 1 <= noises <= HELDOUT:
        raise ValueError(f"the number of noises must be from 1 to {HELDOUT}, the number held out, got {noises}")


def _table(target: Target, rows: list[Row], named: dict[str, tuple[str, int]], noises: int) -> str:
    """One table of the given rows, the named grids, EDM's grid as published and tuned, and the score's floors."""
    rows = [*rows]
    for thing, (name, num_steps) in named.items():
        rows.append(row(thing, target, _levels(name, num_steps, target), noises))
    for k in sorted({entry.num_steps for entry in rows}):
        if f"edm:{k}" not in named:
            rows.append(row(label("edm"), target, edm_grid(k, target.denoiser), noises))
        rows += floors(target, k, noises)
        if k > 1:
            levels, fitted = tuned_grid("edm", k, target)
            rows.append(replace(row(tuned_label("edm"), target, levels, noises), fitted=fitted))
    heading = f"{target.task}, {target.solver.name}, held-out noises: {noises_of(rows)}"
    if remarks := remarks_on_scores(rows):
        heading = " ".join([f"{heading}.", *remarks])
    return "\n\n".join([heading, table(rows), *fitted_lines(rows)])


def _levels(name: str, num_steps: int, target: Target) -> np.ndarray:
    if name in GRIDS:
        return make_grid(name, num_steps, target.denoiser)
    return fitted_grid(name, num_steps, target.denoiser, target.noises("train", NOISES)[0])


def _named_grid(thing: str) -> tuple[str, int] | None:
    """Name and K of a grid such as edm:10. None for a file or a run's folder."""
    name, _, budget = thing.partition(":")
    known = dict.fromkeys((*GRIDS, *FITTED))
    if name not in known and budget.isdigit() and not Path(thing).exists():
        raise ValueError(f"unknown grid {short(name)}: {nearest(name, known)}choose one of {', '.join(known)}")
    if name not in known or (Path(thing) / "config.yaml").is_file():
        return None
    if not budget.isdigit() or not 1 <= int(budget) <= MAX_STEPS:
        raise ValueError(
            f"a grid by name needs its number of steps, from 1 to {MAX_STEPS}, as in {name}:10, got {short(thing)}"
        )
    return name, int(budget)


def _rows(
    thing: str, task: str | None, solver: str | None, noises: int, modules: Collection[str]
) -> Iterator[tuple[Target, Row]]:
    """Rows of a run's folder or a file, each with its target."""
    folder = Path(thing)
    files = [folder]
    if (folder / "config.yaml").is_file():
        run = Run(folder)
        config = run.config(modules)
        if config.algo not in SEARCHES:
            yield from _policy_rows(thing, run, task, solver, noises, modules)
            return
        config_name(config.env_id)  # raises for an id that is not known here
        files = plan_files(folder)
        if not files:
            raise ValueError(f"{folder} holds no schedule and no sampler yet: continue the run with train --resume")
    elif folder.is_dir():
        raise ValueError(f"{thing} holds no run, since it has no config.yaml: name a schedule or sampler file in it")
    for file in files:
        plan = load(file)
        target = Target.of(task or plan.task or DEFAULT, solver or plan.solver or "dpmpp_2m")
        _check_range(plan, target)
        yield target, row(str(file), target, plan, noises)


def _check_range(plan: Document, target: Target) -> None:
    """Raise a ValueError for a plan that calls the model outside its noise range."""
    denoiser, levels = target.denoiser, levels_of(plan)
    if isinstance(plan, Sampler):
        check_told(plan, denoiser, target.task)
        levels = levels[[0, -1]]  # the model is told others
    check_levels(levels, denoiser.sigma_min, denoiser.sigma_max, target.task)


def _policy_rows(
    thing: str, run: Run, task: str | None, solver: str | None, noises: int, modules: Collection[str]
) -> Iterator[tuple[Target, Row]]:
    """An agent's policy and its mean grid or sampler, on the same noises."""
    setup, evaluate = load_evaluator(run, task, solver, modules)
    target = replace(setup.target, freedom=Freedom())  # as for files, which do not say what was chosen
    count = whole_populations(noises, setup.env_config.population)
    for k in setup.budgets:
        found = evaluate(k, count)
        mean = "grid" if found.sampler is None else "sampler"
        yield target, scored(f"{thing} (policy)", target, found)
        yield target, row(f"{thing} (its mean {mean})", target, found.plan, count)
