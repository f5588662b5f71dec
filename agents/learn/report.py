"""The report of `art-gym learn`: the proof on separate noises, the progress over time, and the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from art_gym.common.files import write_text
from art_gym.denoisers.base import visible
from art_gym.evaluation.edm_curve import steps_reaching
from art_gym.measures.errors import image_error
from art_gym.schedules.grids.base import edm_grid

from ..reports import pictures
from ..reports.comparison import label, tuned_label
from ..reports.report import draw_samples
from .book import Found
from .trial import REFERENCE_STEPS, Noises, Trial

LEARNED = "learned"
CHECKED = 4  # endpoints to solve again with twice the steps, as a check
SAYS_LITTLE = 0.2  # warn unless the endpoints' own error is below this share of the learned schedule's
MORE_STEPS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)  # multiples of K at which EDM's grid is tried, for the steps saved


@dataclass(frozen=True)
class Proof:
    """Compares the learned schedule with others, on noises that no search has used.

    Attributes:
        trial: the model with its solver.
        noises: to report on.
        grids: (K+1,) levels by name, including the learned ones.
    """

    trial: Trial
    noises: Noises
    grids: Mapping[str, np.ndarray]

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """(B, *shape) samples by name."""
        return {name: self.trial.sample(levels, self.noises) for name, levels in self.grids.items()}

    @cached_property
    def errors(self) -> dict[str, np.ndarray]:
        """(B,) endpoint errors by name."""
        return {name: self.trial.errors(found, self.noises) for name, found in self.samples.items()}

    @property
    def error(self) -> float:
        """The mean error of the learned schedule."""
        return float(self.errors[LEARNED].mean())

    def lines(self) -> Iterator[str]:
        """The table and its remarks, in Markdown. If the errors say little, a warning comes first."""
        model = self.trial.model
        off, count = self._endpoints_off()
        precise = f"The precise endpoints themselves are off by {off:.1g} (mean of {count} noises)"
        says_little = not off < SAYS_LITTLE * self.error
        if says_little:
            yield f"**{precise}: errors that are not much larger say little**, so steps saved are not counted."
            yield "If the model is trained and smooth in σ down to sigma_min, the schedule is as precise as they are."
            yield ""
        yield f"Mean endpoint error on {len(self.noises.start)} noises on which no schedule was fitted or selected:"
        decoded = getattr(model, "decode", None) is not None
        heads = ["schedule", "error ± 95 %", *(["image error ± 95 %"] if decoded else []), "learned is better on"]
        yield from ("", f"| {' | '.join(heads)} |", f"|:---{'|---:' * (len(heads) - 1)}|")
        for name, found in sorted(self.errors.items(), key=lambda entry: -entry[1].mean()):
            shown = [visible(x, model) for x in (self.samples[name], self.noises.endpoints)]
            images = [_interval(image_error(model, *shown))] if decoded else []
            wins = f"{100 * float((self.errors[LEARNED] < found).mean()):.0f} % of them"
            if np.array_equal(self.grids[name], self.grids[LEARNED]):  # itself, or a grid equal to it
                wins = "–" if name == LEARNED else "the same"
            label = f"**{name}**" if name == LEARNED else name
            yield f"| {' | '.join([label, _interval(found), *images, wins])} |"
        yield ""
        if tuned_label("edm") not in self.grids:
            yield from ("(The budget did not pay for EDM's grid with its parameters tuned, a stronger rival.)", "")
        if not says_little:
            yield from (self._steps_saved(), "", f"{precise}.", "")

    def draw(self, file: Path) -> None:
        """Draw samples of the same noises with EDM's grid, with the learned one, and by the precise solution."""
        steps = f"K = {len(self.grids[LEARNED]) - 1}"
        panels = {f"{label('edm')}, {steps}": self.samples[label("edm")], f"{LEARNED}, {steps}": self.samples[LEARNED]}
        draw_samples(file, self.trial.model, {**panels, "precise": self.noises.endpoints})

    def _endpoints_off(self) -> tuple[float, int]:
        """The mean error of the first few precise endpoints, and their number."""
        few = Noises(self.noises.start[:CHECKED], self.noises.endpoints[:CHECKED])
        solved_again = self.trial.solve(few.start, 2 * REFERENCE_STEPS)
        return float(self.trial.errors(solved_again, few).mean()), len(few.start)

    def _steps_saved(self) -> str:
        num_steps = len(self.grids[LEARNED]) - 1
        steps = [round(factor * num_steps) for factor in MORE_STEPS]
        curve = [self.trial.error(edm_grid(k, self.trial.model), self.noises) for k in steps]
        needed = steps_reaching(self.error, steps, curve)
        if not np.isfinite(needed):
            return f"EDM does not reach in {steps[-1]} steps what the learned schedule does in {num_steps}."
        if needed <= num_steps:
            return f"EDM's grid is as good in {num_steps} steps: nothing was gained."
        saved = 100 * (1 - num_steps / needed)
        learned = f"what the learned schedule does in {num_steps}"
        return f"EDM needs about {needed:.1f} steps for {learned}: {saved:.0f} % fewer."


def write_report(
    out: Path,
    title: str,
    grids: Mapping[str, np.ndarray],
    history: Sequence[Found],
    proof: Proof | None,
    spent: str,
    stopped: str,
    seconds: float,
) -> str:
    """Write the report and its pictures beside a schedule file.

    Args:
        out: the schedule file.
        title: what the schedule is for.
        grids: (K+1,) levels by name, including the learned ones.
        history: improvements in order. The last one is the result.
        proof: None if learning stopped before the comparison.
        spent, stopped, seconds: what learning took, why it ended, and when.

    Returns:
        The text.
    """
    files = {kind: out.parent / f"{out.stem}_{kind}.png" for kind in ("schedules", "samples", "progress")}
    drawn = ["schedules"]
    pictures.schedules(files["schedules"], grids, highlight=LEARNED)
    lines = [f"# {title}", ""]
    if proof is None:
        lines += [f"After {spent}, {stopped}. This is the closed form alone, and nothing was compared.", ""]
    else:
        lines += proof.lines()
        proof.draw(files["samples"])
        drawn.append("samples")
        lines += [f"Learning took {spent}. It ended because {stopped}.", "", "| seconds | evaluations | by | error |"]
        lines += ["|---:|---:|:---|---:|"]
        compared = [found for found in history if np.isfinite(found.error)]
        lines += [f"| {f.seconds:.1f} | {f.evaluations:,} | {f.method} | {f.error:.4f} |" for f in compared]
        lines += ["", "(These errors are on the noises that served to select the best schedule.)", ""]
        if len(compared) > 1:
            times, errors = [f.seconds for f in compared], [f.error for f in compared]
            y_label = "mean endpoint error on the selection noises"
            # Each best holds until the next one, and the last one to the end.
            times, errors = [*times, max(seconds, times[-1])], [*errors, errors[-1]]
            pictures.training_curve(
                files["progress"], times, errors, {}, x_label="seconds", y_label=y_label, drawstyle="steps-post"
            )
            drawn.append("progress")
    lines += [f"![{kind}]({files[kind].name})" for kind in drawn]
    text = "\n".join(lines) + "\n"
    write_text(out.parent / f"{out.stem}_report.md", text)
    return text


def _interval(errors: np.ndarray) -> str:
    return f"{errors.mean():.4f} ± {1.96 * errors.std() / np.sqrt(len(errors)):.4f}"
