"""Transfer, as in the paper's Tables 5 and 6: to other K by resampling, and to other tasks without learning again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from art_gym.evaluation import evaluate_levels
from art_gym.schedules.grids import edm_grid, log_snr
from art_gym.schedules.schedule import Schedule
from art_gym.tasks import BUILT_IN, resolve

from .. import pictures
from .art_rl import train_art_rl
from .study import Record, Study, markdown

LEARNED_AT = 18
STEPS = (5, 7, 10, 14, 18, 25, 35)
ACROSS_AT = 10
SOLVERS = ("euler", "dpmpp_2m", "heun")


def transfer(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Both tables; the first seed's schedules."""
    study = Study("transfer", out)
    tasks = ("gaussian_1d", "mixture_1d") if quick else BUILT_IN
    learned = {task: _learned(study, task, seeds[0], quick) for task in tasks}
    texts = []
    for solver in SOLVERS:
        lines = []
        for task in tasks:
            denoiser, schedule = resolve(task), Schedule(tuple(learned[task][str(LEARNED_AT)]), "art_rl")
            geometric = [
                np.append(log_snr(np.linspace(0, 1, k), denoiser.sigma_max, denoiser.sigma_min, 0), 0) for k in STEPS
            ]
            rows = {
                "DPM (geometric)": geometric,
                "EDM": [edm_grid(k, denoiser) for k in STEPS],
                f"ART-RL, resampled from K = {LEARNED_AT}": [np.array(schedule.resample(k).sigmas) for k in STEPS],
                "ART-RL, its clock read off at K": [np.array(learned[task][str(k)]) for k in STEPS],
            }
            errors = {name: [_error(task, solver, levels) for levels in grids] for name, grids in rows.items()}
            lines += [[f"{task}, {name}", *(f"{error:.4f}" for error in values)] for name, values in errors.items()]
            if task == tasks[-1] and solver == "euler":
                curves = {name: dict(zip(STEPS, values, strict=True)) for name, values in errors.items()}
                pictures.error_curves(study.folder / "transfer.png", curves, highlight=list(curves)[2])
        texts.append(
            f"### Across K, {solver}: mean endpoint error\n\n{markdown(['', *(f'K = {k}' for k in STEPS)], lines)}"
        )
    for scaled in (False, True):
        lines = []
        for source in tasks:
            levels = np.array(learned[source][str(ACROSS_AT)])
            lines.append([source, *(_gain(levels, source, target, scaled) for target in tasks)])
        how = "levels in units of the data's standard deviation" if scaled else "levels as they are"
        heads = ["learned on \\ used on", *tasks]
        texts.append(f"### Across tasks, Euler, K = {ACROSS_AT}: error over EDM's, {how}\n\n{markdown(heads, lines)}")
    return study.finish("Transfer", "\n\n".join(texts))


def _learned(study: Study, task: str, seed: int, quick: bool) -> dict[str, list[float]]:
    def compute() -> Record:
        model = train_art_rl(task, seed, 0.03 if quick else 1.0).model
        return {"levels": {str(k): model.levels(k).tolist() for k in STEPS}}

    return study.once({"task": task, "seed": seed, "quick": quick}, compute)["levels"]


def _error(task: str, solver: str, levels: np.ndarray) -> float:
    return evaluate_levels(task, solver, levels, distances=False).error


def _gain(levels: np.ndarray, source: str, target: str, scaled: bool) -> str:
    denoiser = resolve(target)
    if scaled:
        levels = levels * denoiser.data_std / resolve(source).data_std
    # the range of the target: its first level is its own σ_max, its last ones no lower than σ_min
    inner = np.clip(levels[1:-1], denoiser.sigma_min, 0.999 * denoiser.sigma_max)
    moved = np.array([denoiser.sigma_max, *inner, 0.0])
    return f"{_error(target, 'euler', moved) / _error(target, 'euler', edm_grid(len(levels) - 1, denoiser)):.2f}"
