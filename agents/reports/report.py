"""The report of a run: the table, the sentence about steps saved, and the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from art_gym.common.files import write_text
from art_gym.denoisers.base import Denoiser, visible
from art_gym.envs.rendering import MAX_IMAGES
from art_gym.evaluation.edm_curve import EdmCurve
from art_gym.evaluation.heldout import HELDOUT, VALIDATION, VALIDATION_NOISES, evaluate_plan
from art_gym.samplers.plans import Plan, draw, is_sampler
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.grids.base import edm_grid
from art_gym.tasks.target import Target

from ..runs.folder import Point
from ..runs.outcome import INSTANT, Outcome
from . import pictures
from .comparison import (
    FLOORS,
    ORACLE,
    SAMPLER_ORACLE,
    Row,
    fitted_lines,
    label,
    noises_of,
    remarks_on_scores,
    scored,
    steps_saved_line,
    table,
)
from .sampler_pictures import sampler_picture

SAMPLES = 36  # number of latents in the picture of samples, the first ones of the held-out bank
FEATURES = "Fréchet distance, precision and recall compare samples with data in the features of the task's network."
START = "what the agent began with"


def learned_rows(target: Target, outcome: Outcome) -> list[Row]:
    """The outcome's plans, its policy if that depends on the latents, and what the agent began with."""
    rows = []
    for num_steps, evaluation in outcome.as_grid.items():
        rows.append(scored(outcome.method, target, evaluation))
        policy = outcome.as_policy and outcome.as_policy[num_steps]
        if policy and policy.spread > 1e-6:
            rows.append(scored(f"{outcome.method}, policy", target, policy))
        if outcome.as_start:
            rows.append(scored(START, target, outcome.as_start[num_steps]))
    return rows


def write_report(
    folder: Path,
    target: Target,
    outcome: Outcome,
    rivals: list[Outcome],
    baselines: list[Row],
    history: list[Point],
    curve: EdmCurve,
) -> str:
    """Write ``report.md`` and the pictures into a run's folder.

    Args:
        folder: the run's folder.
        target: the task and solver of the run.
        outcome: the run's outcome; the pictures and the bold rows show it.
        rivals: other methods' outcomes for the same target and budgets.
        baselines: rows of grids that were not learned.
        history: progress of the run on validation noise.
        curve: EDM's errors, which tell the number of steps saved.

    Returns:
        The text of the report.
    """
    rows = [*baselines, *(entry for each in (outcome, *rivals) for entry in learned_rows(target, each))]
    saved = [
        steps_saved_line(curve, k, evaluation.error, _kind(outcome, k)) for k, evaluation in outcome.as_grid.items()
    ]
    remarks = [*_begun(outcome, history), *saved, *_spreads(outcome), *fitted_lines(rows)]
    lines = [
        f"# {outcome.method} on {outcome.task}, {outcome.solver}",
        "",
        f"Held-out noises: {noises_of(rows)}. The table shows the mean endpoint error in units of the data, its root",
        "mean square and median, the sliced-Wasserstein (SW) distances to endpoints and data, and the energy distance",
        "to data. The score is 0 for EDM's grid and 1 for the best fixed grid known. NFE counts the denoiser calls per",
        "sample, and seconds is the time to sample all of them.",
        *([FEATURES] if any(entry.evaluation.frechet is not None for entry in rows) else []),
        *remarks_on_scores(rows),
        "",
        table(rows, first=outcome.method),
        "",
        *(f"- {line}" for line in remarks),
        "",
        *_costs([outcome, *rivals]),
        "",
        *(f"![{name}]({name}.png)" for name in _draw(folder, target, outcome, rows, history)),
        "",
    ]
    text = "\n".join(lines)
    write_text(folder / "report.md", text)
    return text


def _costs(outcomes: list[Outcome]) -> list[str]:
    return [
        "Cost of learning, for all K together:",
        "",
        "| method | seconds | denoiser evaluations (millions) |",
        "|:---|---:|---:|",
        *(f"| {each.method} | {each.seconds:.0f} | {_millions(each.evaluations)} |" for each in outcomes),
    ]


def _spreads(outcome: Outcome) -> list[str]:
    return [
        f"K = {k}: the policy's levels differ between populations, with a standard deviation of up to "
        f"{policy.spread:.3f} in log σ. The {_kind(outcome, k)} is the policy's mean {_kind(outcome, k, 'grid')}."
        for k, policy in (outcome.as_policy or {}).items()
        if policy.spread > 1e-6
    ]


def _kind(outcome: Outcome, num_steps: int, otherwise: str = "schedule") -> str:
    """What the outcome is for this K: a sampler, or else a schedule."""
    return "sampler" if isinstance(outcome.plans[num_steps], Sampler) else otherwise


def _millions(count: int) -> str:
    """In millions with one decimal, or with one significant digit if that would be 0.0."""
    return f"{count / 1e6:.1f}" if count >= 1e5 else f"{count / 1e6:.1g}"


def _begun(outcome: Outcome, history: list[Point]) -> list[str]:
    """How much the search and the agent contributed, if the agent began with the schedule of a search."""
    if outcome.begun_by is None:
        return []
    found = "samplers" if any(map(is_sampler, outcome.plans.values())) else "a schedule"
    lines = []
    for num_steps in history[0].errors:
        errors = [point.errors[num_steps] for point in history]
        at = f" at K = {num_steps}" if len(history[0].errors) > 1 else ""
        lines.append(
            f"The error{at} on validation noise was {errors[0]:.4f} then, and at best {min(errors):.4f} in training."
        )
    took = f"in {history[0].seconds:.0f} s ({outcome.begun_with})"
    if outcome.begun_by == INSTANT:
        return [f"The policy began with {INSTANT}, to which it was fitted {took}. {' '.join(lines)}"]
    return [f"The policy began with {found} that {outcome.begun_by} found {took}. {' '.join(lines)}"]


def _draw(folder: Path, target: Target, outcome: Outcome, rows: list[Row], history: list[Point]) -> list[str]:
    """Write the pictures; returns their names."""
    shown = max(outcome.plans, key=lambda k: (k <= 10, k))  # the largest K with dots that a reader can tell apart
    rows = [entry for entry in rows if entry.method not in FLOORS]
    grids = {entry.method: entry.evaluation.levels for entry in rows if entry.num_steps == shown}
    pictures.schedules(folder / "schedules.png", grids, highlight=outcome.method)
    errors: dict[str, dict[int, float]] = {}
    for entry in rows:
        errors.setdefault(entry.method, {})[entry.num_steps] = entry.evaluation.error
    oracle = errors.pop(ORACLE, None)
    names = ["schedules"]
    plan = outcome.plans[shown]
    if isinstance(plan, Sampler):
        sampler_picture(folder / "sampler.png", plan, outcome.method)
        names.append("sampler")
    if len(outcome.plans) > 1:
        pictures.error_curves(folder / "errors.png", errors, highlight=outcome.method, oracle=oracle)
        names.append("errors")
    _draw_samples(folder / "samples.png", target, outcome, min(outcome.plans))
    names.append("samples")
    if history:
        _draw_training(folder / "training.png", target, rows, history)
        names.append("training")
    return names


def _draw_training(file: Path, target: Target, rows: list[Row], history: list[Point]) -> None:
    k = max(history[-1].errors)
    # Use the curve's noises, not the table's: the means over two sets of a few hundred noises differ visibly.
    lines = {
        entry.method: evaluate_plan(target, entry.evaluation.plan, VALIDATION_NOISES, VALIDATION, distances=False).error
        for entry in rows
        if entry.num_steps == k and entry.method in (label("edm"), "ART closed form", ORACLE, SAMPLER_ORACLE)
    }
    points = [point for point in history if k in point.errors]
    steps, values = [point.steps for point in points], [point.errors[k] for point in points]
    pictures.training_curve(file, steps, values, lines, x_label=f"environment steps (K = {k})")


def _draw_samples(file: Path, target: Target, outcome: Outcome, num_steps: int) -> None:
    denoiser = target.denoiser
    start, exact = target.noises("heldout", SAMPLES if len(denoiser.shape) == 3 else HELDOUT)
    plans: dict[str, Plan] = {label("edm"): edm_grid(num_steps, denoiser), outcome.method: outcome.plans[num_steps]}
    panels = {f"{name}, K = {num_steps}": draw(denoiser, plan, start, target.solver) for name, plan in plans.items()}
    draw_samples(file, denoiser, {**panels, "exact": exact})


def draw_samples(file: Path, denoiser: Denoiser, panels: Mapping[str, np.ndarray]) -> None:
    """Draw (N, *shape) samples of the same noises by title, as images if the denoiser decodes its latents."""
    shown = {title: visible(samples, denoiser) for title, samples in panels.items()}
    if getattr(denoiser, "decode", None) is not None:
        images = {title: denoiser.decode(samples[:MAX_IMAGES]) for title, samples in shown.items()}  # type: ignore[attr-defined]
        pictures.samples(file, images)
        return
    sample_data = getattr(denoiser, "sample_data", None)
    data = None if sample_data is None else sample_data(HELDOUT, np.random.default_rng(17))
    pictures.samples(file, shown, data)
