"""The report of a run whose actions choose the guidance: by the classifier, since no endpoint is right."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from art_gym.common.files import write_text
from art_gym.evaluation.heldout import Evaluation

from ..runs.folder import Point
from ..runs.outcome import Outcome
from . import pictures

COST = "2 (1 − accuracy) + Fréchet distance"


def write_guided_report(folder: Path, outcome: Outcome, history: list[Point]) -> str:
    """Write ``report.md`` and a picture of the training into a run's folder. Returns the text.

    Args:
        folder: the run's folder.
        outcome: with an evaluation of the policy for each K.
        history: costs on validation noise.
    """
    assert outcome.as_policy is not None
    rows = [(k, "policy", found) for k, found in outcome.as_policy.items()]
    rows += [(k, "its mean grid, w = 1", found) for k, found in outcome.as_grid.items()]
    k = max(outcome.as_policy)
    points = [point for point in history if k in point.errors]
    steps, costs = [point.steps for point in points], [point.errors[k] for point in points]
    pictures.training_curve(
        folder / "training.png", steps, costs, {}, f"environment steps (K = {k})", f"held-out {COST}"
    )
    lines = [
        f"# {outcome.method} on {outcome.task}, {outcome.solver}",
        "",
        f"Cost on held-out noise: {COST} to the data of each sample's class, in the features of the task's classifier.",
        "The schedule files hold the policy's mean levels, without its guidance.",
        "",
        "| K | what | cost | accuracy | Fréchet | mean levels | mean w of each step |",
        "|---:|:---|---:|---:|---:|---:|---:|",
        *(_row(*row) for row in sorted(rows, key=lambda row: row[:2], reverse=True)),
        "",
        f"{outcome.evaluations / 1e6:.1f} million denoiser evaluations in {outcome.seconds:.0f} s.",
        "",
        "![training](training.png)",
        "",
    ]
    text = "\n".join(lines)
    write_text(folder / "report.md", text)
    return text


def _row(num_steps: int, what: str, found: Evaluation) -> str:
    assert found.quality is not None
    cost, (accuracy, frechet) = found.quality.cost, found.quality
    weights = "–" if found.guidance is None else _numbers(found.guidance, ".2f")
    levels = _numbers(found.levels[:-1], ".3g")
    return f"| {num_steps} | {what} | {cost:.3f} | {accuracy:.4f} | {frechet:.3f} | {levels} | {weights} |"


def _numbers(values: Iterable[float], form: str) -> str:
    return " ".join(f"{value:{form}}" for value in values)
