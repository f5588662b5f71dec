"""What the commands do, as functions that return text: train and report, evaluate, plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from art_gym.config import MAX_STEPS, EnvConfig
from art_gym.denoisers.base import check_levels
from art_gym.evaluation import HELDOUT, evaluate_levels, whole_populations
from art_gym.oracle import reference_on
from art_gym.references import score
from art_gym.schedules.grids import GRIDS, edm, edm_grid, get_grid, make_grid
from art_gym.schedules.schedule import Schedule
from art_gym.tasks import resolve, task_names

from . import pictures
from .comparison import (
    Row,
    baselines,
    fitted_lines,
    floors,
    label,
    noises_of,
    table,
    tuned_grid,
    tuned_label,
    unscored,
)
from .edm_curve import EdmCurve
from .outcome import Outcome
from .report import write_report
from .rivals import train_rival
from .runs import RIVALS, Run, TrainConfig, config_name, name_of
from .training import load_evaluator, train


def learn(config: TrainConfig, run: Run, resume: bool, progress: bool) -> Outcome:
    """Train an agent or run a rival, by the name of the algorithm; the schedule files are written.

    Raises:
        ValueError: as `train`, and while another process works in the folder.
    """
    with run.alone():
        outcome = (train_rival if config.algo in RIVALS else train)(config, run, resume, progress)
        outcome.save(run.folder)
    return outcome


def train_and_report(config: TrainConfig, run: Run, resume: bool, progress: bool) -> str:
    """The command ``train``. Returns the report."""
    outcome = learn(config, run, resume, progress)
    rows = _baselines_with_progress(outcome, config.env_config(), progress)
    return write_report(run.folder, outcome, [], rows, run.history(), EdmCurve(outcome.task, outcome.solver))


def _baselines_with_progress(outcome: Outcome, config: EnvConfig, progress: bool) -> list[Row]:
    """`baselines`, with a bar."""
    with tqdm(desc="comparing", unit=" grids", disable=not progress) as bar:

        def tick(label: str) -> None:
            bar.set_postfix_str(label)
            bar.update()

        return baselines(outcome.task, outcome.solver, list(outcome.schedules), tick, config)


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
        if config.algo not in RIVALS:
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


def plot_things(what: Sequence[Path], out: Path) -> list[Path]:
    """The command ``plot``. Returns the files drawn. Raises a ValueError where there is nothing to draw."""
    if not what:
        raise ValueError("name what to draw: schedule files or run folders")
    files: list[Path] = []
    found: dict[str, Schedule] = {}
    for thing, name in _told_apart(what).items():
        run = Run(thing)
        if (thing / "config.yaml").is_file():
            history = run.history()
            for point_k in sorted(set().union(*(point.errors for point in history))):  # a rival's points have one each
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
            raise ValueError(f"{thing} holds no run: there is no config.yaml in it")
        else:
            found[name.removesuffix(".json")] = Schedule.load(thing)
    if found:
        grids = {name: np.array(schedule.sigmas) for name, schedule in found.items()}
        for num_steps, top, least in sorted(set().union(*map(_edm_ends, found.values()))):
            beside = edm(np.linspace(0, 1, num_steps), top, least, 7.0)
            grids[f"EDM ρ=7, K = {num_steps}, from {top:.3g} to {least:.3g}"] = np.append(beside, 0.0)
        files.append(pictures.schedules(out / "schedules.png", grids))
    if not files:
        raise ValueError(f"{', '.join(map(str, what))}: no schedule and no history yet, train --resume goes on")
    return files


def _edm_ends(schedule: Schedule) -> set[tuple[int, float, float]]:
    """K, σ_max and σ_min of EDM's grid beside a schedule; none where nothing tells its model's σ_min."""
    task = schedule.task or ""
    if task.partition("?")[0] not in task_names():
        return set()
    return {(schedule.num_steps, schedule.sigmas[0], resolve(task).sigma_min)}


def _told_apart(what: Sequence[Path]) -> dict[Path, str]:
    """As many of the last parts of each path as it takes to have a name for each: all runs' files are called alike."""
    whole = {thing.resolve(): thing for thing in what}
    for depth in range(1, 1 + max(len(path.parts) for path in whole)):
        names = ["/".join(path.parts[-depth:]) for path in whole]
        if len(set(names)) == len(names):
            break
    return dict(zip(whole.values(), names, strict=True))
