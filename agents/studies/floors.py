"""The floor of the score: an untrained agent plays the action 0 throughout, or random actions."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from art_gym.tasks.references import find_reference, score
from art_gym.tasks.registry import BUILT_IN
from art_gym.tasks.target import Target

from ..reports import pictures
from ..reports.comparison import FLOORS, floors
from .study import Study, markdown

SOLVERS = ("dpmpp_2m", "euler", "heun")
STEPS = (5, 7, 10, 18)


def floor_scores(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Scores of both floors in every setting. Nothing is learned, so seeds play no role."""
    study = Study("floors", out)
    lines, shown = [], {}
    for task in ("gaussian_1d",) if quick else BUILT_IN:
        for solver in SOLVERS:
            target = Target.of(task, solver)
            cells: dict[str, list[str]] = {name: [] for name in FLOORS}
            for num_steps in STEPS:
                errors = study.once(
                    {"task": task, "solver": solver, "num_steps": num_steps}, partial(_errors, target, num_steps)
                )
                reference = find_reference(target, num_steps)
                for name, found in cells.items():
                    found.append(f"{score(errors[name], reference) or 0:.2f}")
                if num_steps == 7:
                    shown[f"{task}, {solver}"] = score(errors[FLOORS[0]], reference) or 0.0
            lines.append([f"{task}, {solver}", *(" / ".join(cells[name]) for name in FLOORS)])
    pictures.bars(
        study.folder / "floors.png", shown, "score of the action 0, K = 7 (0 = EDM's grid, 1 = best fixed grid)"
    )
    heads = ["task, solver", *(f"{name}: K = {' / '.join(map(str, STEPS))}" for name in FLOORS)]
    return study.finish("What is scored without learning anything", markdown(heads, lines))


def _errors(target: Target, num_steps: int) -> dict[str, float]:
    return {row.method: row.evaluation.error for row in floors(target, num_steps)}
