"""Transfer, as in the paper's Tables 5 and 6: to other K by resampling, and to other tasks without learning again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules.grids.base import edm_grid
from art_gym.schedules.grids.log_snr import log_snr
from art_gym.schedules.schedule import Schedule
from art_gym.tasks.registry import BUILT_IN, resolve
from art_gym.tasks.target import Target

from ..reports import pictures
from ..reports.comparison import tuned_grid, tuned_label
from .art_rl import QUICK_SHARE, train_art_rl
from .study import Record, Study, markdown, mean_and_range, of_seeds

LEARNED_AT = 18
STEPS = (5, 7, 10, 14, 18, 25, 35)
ACROSS_AT = 10
SOLVERS = ("euler", "dpmpp_2m", "heun")
RESAMPLED = f"ART-RL, resampled from K = {LEARNED_AT}"


def transfer(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Both tables."""
    study = Study("transfer", out, revision=1)
    tasks = ("gaussian_1d", "mixture_1d") if quick else BUILT_IN
    learned = {(task, seed): _learned(study, task, seed, quick) for task in tasks for seed in seeds}
    texts = []
    for solver in SOLVERS:
        lines = []
        for task in tasks:
            runs = [_across_steps(study, task, solver, seed, quick, learned[task, seed]) for seed in seeds]
            rows = {name: [errors] for name, errors in _baselines(study, task, solver).items()}  # one run
            rows |= {name: [run[name] for run in runs] for name in runs[0]}  # one run per seed
            lines += [
                [f"{task}, {name}", *(mean_and_range(column) for column in zip(*errors, strict=True))]
                for name, errors in rows.items()
            ]
            if task == tasks[-1] and solver == "euler":
                curves = {name: dict(zip(STEPS, np.mean(errors, axis=0), strict=True)) for name, errors in rows.items()}
                pictures.error_curves(study.folder / "transfer.png", curves, highlight=RESAMPLED)
        table = markdown(["", *(f"K = {k}" for k in STEPS)], lines)
        texts.append(f"### Across K, {solver}: mean endpoint error, {of_seeds(seeds)}\n\n{table}")
    for scaled in (False, True):
        lines = []
        for source in tasks:
            gains = [
                [_gain(study, source, target, scaled, seed, quick, learned[source, seed]) for seed in seeds]
                for target in tasks
            ]
            lines.append([source, *(mean_and_range(each, 2) for each in gains)])
        how = "levels in units of the data's standard deviation" if scaled else "levels as they are"
        title = f"### Across tasks, Euler, K = {ACROSS_AT}: error over EDM's, {how}, {of_seeds(seeds)}"
        table = markdown(["learned on / used on", *tasks], lines)
        texts.append(f"{title}\n\n{table}")
    return study.finish("Transfer", "\n\n".join(texts))


def _learned(study: Study, task: str, seed: int, quick: bool) -> dict[str, list[float]]:
    def compute() -> Record:
        model = train_art_rl(task, seed, QUICK_SHARE if quick else 1.0).model
        return {"levels": {str(k): model.levels(k).tolist() for k in STEPS}}

    levels: dict[str, list[float]] = study.once({"task": task, "seed": seed, "quick": quick}, compute)["levels"]
    return levels


def _baselines(study: Study, task: str, solver: str) -> dict[str, list[float]]:
    denoiser = resolve(task)

    def geometric(k: int) -> np.ndarray:
        return np.append(log_snr(np.linspace(0, 1, k), denoiser.sigma_max, denoiser.sigma_min, 0), 0)

    grids: dict[str, Callable[[int], np.ndarray]] = {
        "DPM (geometric)": geometric,
        "EDM": lambda k: edm_grid(k, denoiser),
        tuned_label("edm"): lambda k: tuned_grid("edm", k, Target.of(task, solver))[0],
    }
    return {
        name: study.once(
            {"grid": name, "used_on": task, "solver": solver},
            lambda make=make: {"errors": [_error(task, solver, make(k)) for k in STEPS]},  # type: ignore[misc]
        )["errors"]
        for name, make in grids.items()
    }


def _across_steps(
    study: Study, task: str, solver: str, seed: int, quick: bool, levels: dict[str, list[float]]
) -> dict[str, list[float]]:
    """Errors at all K for one seed, with its schedule resampled and with its clock read off."""
    schedule = Schedule(tuple(levels[str(LEARNED_AT)]), "art_rl")
    grids = {
        RESAMPLED: lambda k: np.array(schedule.resample(k).sigmas),
        "ART-RL, its clock read off at K": lambda k: np.array(levels[str(k)]),
    }
    return {
        name: study.once(
            {"grid": name, "used_on": task, "solver": solver, "learned_with": seed, "quick": quick},
            lambda make=make: {"errors": [_error(task, solver, make(k)) for k in STEPS]},  # type: ignore[misc]
        )["errors"]
        for name, make in grids.items()
    }


def _gain(
    study: Study, source: str, target: str, scaled: bool, seed: int, quick: bool, levels: dict[str, list[float]]
) -> float:
    def compute() -> Record:
        denoiser, moved = resolve(target), np.array(levels[str(ACROSS_AT)])
        if scaled:
            moved = moved * denoiser.data_std / resolve(source).data_std
        # fit the target's noise range: start at its σ_max, and stay above its σ_min
        inner = np.clip(moved[1:-1], denoiser.sigma_min, 0.999 * denoiser.sigma_max)
        return {"error": _error(target, "euler", np.array([denoiser.sigma_max, *inner, 0.0]))}

    key = {"learned_on": source, "used_on": target, "scaled": scaled, "learned_with": seed, "quick": quick}
    found = study.once(key, compute)["error"]
    ratio: float = found / _baselines(study, target, "euler")["EDM"][STEPS.index(ACROSS_AT)]
    return ratio


def _error(task: str, solver: str, levels: np.ndarray) -> float:
    return evaluate_plan(Target.of(task, solver), levels, distances=False).error
