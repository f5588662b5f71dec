"""What the commands do, as functions that return text: train and report, evaluate, plot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from art_gym.evaluation import evaluate_levels
from art_gym.references import find_reference, score
from art_gym.schedules.grids import GRIDS, edm_grid, make_grid
from art_gym.schedules.schedule import Schedule
from art_gym.tasks import resolve

from . import pictures
from .comparison import Row, baselines, table
from .outcome import Outcome
from .report import write_report
from .rivals import RIVALS, train_rival
from .runs import Run, TrainConfig
from .training import load_evaluator, name_of, train


def learn(config: TrainConfig, run: Run, resume: bool, progress: bool) -> Outcome:
    """Train an agent or run a rival, by the name of the algorithm; the schedule files are written."""
    outcome = train_rival(config, run, progress) if config.algo in RIVALS else train(config, run, resume, progress)
    outcome.save(run.folder)
    return outcome


def train_and_report(config: TrainConfig, run: Run, resume: bool, progress: bool) -> str:
    """The command ``train``. Returns the report."""
    outcome = learn(config, run, resume, progress)
    rows = baselines_with_progress(outcome.task, outcome.solver, list(outcome.schedules), progress)
    return write_report(run.folder, outcome, [], rows, run.history())


def baselines_with_progress(task: str, solver: str, budgets: list[int], progress: bool) -> list[Row]:
    """`baselines`, with a bar."""
    with tqdm(desc="comparing", unit=" grids", disable=not progress) as bar:

        def tick(label: str) -> None:
            bar.set_postfix_str(label)
            bar.update()

        return baselines(task, solver, budgets, tick)


def evaluate_things(what: Sequence[str], task: str | None, solver: str | None, noises: int) -> str:
    """The command ``evaluate``. Returns one table for each task and solver."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for thing in what:
        if (Path(thing) / "config.yaml").is_file():
            setup, evaluate = load_evaluator(Run(thing))
            where = name_of(setup.env_config.task), name_of(setup.env_config.solver)
            for k in setup.budgets:
                reference = find_reference(*where, k)
                found = evaluate(k, noises)
                groups.setdefault(where, []).append(Row(f"{thing} (policy)", k, found, score(found.error, reference)))
            continue
        name, _, budget = thing.partition(":")
        if name in GRIDS:
            where = task or "digits", solver or "dpmpp_2m"
            if not budget.isdigit():
                raise ValueError(f"a grid by name needs its number of steps, as in {name}:10, got {thing!r}")
            levels = make_grid(name, int(budget), resolve(where[0]))
        else:
            schedule = Schedule.load(thing)
            where = task or schedule.task or "digits", solver or schedule.solver or "dpmpp_2m"
            levels = np.array(schedule.sigmas)
        groups.setdefault(where, []).append(_row(thing, where, levels, noises))
    texts = []
    for where, rows in groups.items():
        for k in sorted({entry.num_steps for entry in rows}):
            rows.append(_row("EDM ρ=7", where, edm_grid(k, resolve(where[0])), noises))
        texts.append(f"{where[0]}, {where[1]}, {noises} held-out noises\n\n{table(rows, every_measure=True)}")
    return "\n\n".join(texts)


def _row(name: str, where: tuple[str, str], levels: np.ndarray, noises: int) -> Row:
    found = evaluate_levels(*where, levels, noises)
    reference = find_reference(*where, len(levels) - 1)
    return Row(name, len(levels) - 1, found, score(found.error, reference))


def plot_things(what: Sequence[Path], out: Path) -> list[Path]:
    """The command ``plot``. Returns the files drawn."""
    files, grids = [], {}
    out.mkdir(parents=True, exist_ok=True)
    for thing in what:
        run = Run(thing)
        if (thing / "config.yaml").is_file():
            for point_k in sorted(run.history()[-1].errors) if run.history() else []:
                points = [point for point in run.history() if point_k in point.errors]
                steps, errors = [point.steps for point in points], [point.errors[point_k] for point in points]
                file = out / f"training_{os.path.basename(thing.resolve())}_K{point_k}.png"
                files.append(
                    pictures.training_curve(file, steps, errors, {}, x_label=f"environment steps (K = {point_k})")
                )
            for file in sorted(thing.glob("schedule_K*.json")):
                grids[f"{thing.name} {file.stem}"] = np.array(Schedule.load(file).sigmas)
        else:
            grids[thing.stem] = np.array(Schedule.load(thing).sigmas)
    if grids:
        files.append(pictures.schedules(out / "schedules.png", grids))
    return files
