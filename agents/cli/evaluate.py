"""`art-gym evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from art_gym.denoisers.base import check_levels
from art_gym.envs.config import MAX_STEPS
from art_gym.evaluation.heldout import HELDOUT, evaluate_levels, whole_populations
from art_gym.evaluation.references import reference_on
from art_gym.schedules.grids.base import GRIDS, edm_grid, get_grid, make_grid
from art_gym.schedules.schedule import Schedule
from art_gym.search.base import SEARCHES
from art_gym.tasks.references import score
from art_gym.tasks.registry import resolve

from ..reports.comparison import Row, fitted_lines, floors, label, noises_of, table, tuned_grid, tuned_label, unscored
from ..runs.config import config_name, name_of
from ..runs.folder import Run
from ..training.policies import load_evaluator
from .tasks import imported_task


@dataclass(frozen=True)
class Evaluate:
    """Evaluate schedule files, a run's folder, or named grids on held-out noise, beside EDM's grid.

    Attributes:
        what: schedule files, run folders, or grids by name as in edm:10 (name:K).
        task: for schedules that do not name one, or to evaluate them elsewhere; my_module:name imports my_module first,
            where the task of your own is registered. A run's folder does that by itself, a schedule file never.
        solver: likewise.
        noises: how many held-out noises.
    """

    what: Annotated[tuple[str, ...], tyro.conf.Positional]
    task: str | None = None
    solver: str | None = None
    noises: int = 2048

    def run(self) -> None:
        """Print the table."""
        from .evaluate import evaluate_things

        task = None if self.task is None else imported_task(self.task)[1]
        print(evaluate_things(self.what, task, self.solver, self.noises))


def evaluate_things(what: Sequence[str], task: str | None, solver: str | None, noises: int) -> str:
    """The command ``evaluate``. Returns one table for each task and solver.

    Raises:
        ValueError: for nothing to evaluate, a name, file or folder that is none, or noises beyond those held out.
    """
    if not what:
        raise ValueError("name what to evaluate: schedule files, run folders, or grids such as edm:10")
    if not 1 <= noises <= HELDOUT:
        raise ValueError(f"the number of noises must be from 1 to {HELDOUT}, those that are held out, got {noises}")
    groups: dict[tuple[str, str], list[Row]] = {}
    named = {thing: grid for thing in what if (grid := _named_grid(thing))}
    for thing in what:
        if thing not in named:
            for where, row in _rows(thing, task, solver, noises):
                groups.setdefault(where, []).append(row)
    for where in [*groups] or [(task or "digits", solver or "dpmpp_2m")]:  # beside all that is evaluated
        for thing, (name, num_steps) in named.items():
            row = _row(thing, where, make_grid(name, num_steps, resolve(where[0])), noises)
            groups.setdefault(where, []).append(row)
    texts = []
    for where, rows in groups.items():
        for k in sorted({entry.num_steps for entry in rows}):
            if f"edm:{k}" not in named:
                rows.append(_row(label("edm"), where, edm_grid(k, resolve(where[0])), noises))
            rows += floors(*where, k, noises)
            if k > 1:
                levels, fitted = tuned_grid("edm", k, *where)
                rows.append(replace(_row(tuned_label("edm"), where, levels, noises), fitted=fitted))
        note = unscored(rows)
        heading = f"{where[0]}, {where[1]}, held-out noises: {noises_of(rows)}" + (f". {note}" if note else "")
        texts.append("\n\n".join([heading, table(rows), *fitted_lines(rows)]))
    return "\n\n".join(texts)


def _named_grid(thing: str) -> tuple[str, int] | None:
    """Name and K of a grid such as edm:10; None for what is a file or a run's folder."""
    name, _, budget = thing.partition(":")
    if name not in GRIDS and budget.isdigit() and not Path(thing).exists():
        get_grid(name)  # which lists the names
    if name not in GRIDS or (Path(thing) / "config.yaml").is_file():
        return None
    if not budget.isdigit() or not 1 <= int(budget) <= MAX_STEPS:
        raise ValueError(
            f"a grid by name needs its number of steps, from 1 to {MAX_STEPS}, as in {name}:10, got {thing!r}"
        )
    return name, int(budget)


def _rows(thing: str, task: str | None, solver: str | None, noises: int) -> Iterator[tuple[tuple[str, str], Row]]:
    """Rows of a run's folder or a schedule file, each with the task and the solver it is for."""
    folder = Path(thing)
    if (folder / "config.yaml").is_file():
        run = Run(folder)
        config = run.config()
        if config.algo not in SEARCHES:
            setup, evaluate = load_evaluator(run, task, solver)
            where = name_of(setup.env_config.task), name_of(setup.env_config.solver)
            count = whole_populations(noises, setup.env_config.population)
            for k in setup.budgets:
                found = evaluate(k, count)
                reference = reference_on(*where, k, count)
                yield where, Row(f"{thing} (policy)", k, found, score(found.error, reference))
                yield where, _row(f"{thing} (its mean grid)", where, found.levels, count)
            return
        config_name(config.env_id)  # imports the module where a task of one's own is registered
        files = [str(file) for file in sorted(folder.glob("schedule_K*.json"))]
        if not files:
            raise ValueError(f"{folder} holds no schedule yet: train --resume goes on with the run")
    elif folder.is_dir():
        raise ValueError(f"{thing} holds no run: there is no config.yaml in it; name a schedule file in it")
    else:
        files = [thing]
    for file in files:
        schedule = Schedule.load(file)
        where = task or schedule.task or "digits", solver or schedule.solver or "dpmpp_2m"
        levels, denoiser = np.array(schedule.sigmas), resolve(where[0])
        check_levels(levels, denoiser.sigma_min, denoiser.sigma_max, where[0])
        yield where, _row(file, where, levels, noises)


def _row(name: str, where: tuple[str, str], levels: np.ndarray, noises: int) -> Row:
    found = evaluate_levels(*where, levels, noises)
    reference = reference_on(*where, len(levels) - 1, noises)
    return Row(name, len(levels) - 1, found, score(found.error, reference))
