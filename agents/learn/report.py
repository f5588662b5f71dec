"""The report of `art-gym learn`: the proof on separate noises, the progress over time, and the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from art_gym.common.files import write_text
from art_gym.denoisers.base import visible
from art_gym.evaluation.edm_curve import steps_reaching
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.plans import Plan, is_sampler, levels_of
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.grids.base import edm_grid
from art_gym.solvers.base import get_solver

from ..reports import pictures
from ..reports.comparison import label, tuned_label
from ..reports.report import draw_samples
from ..reports.sampler_pictures import sampler_picture
from .book import Found
from .guidance import guidance_lines
from .lpips import Lpips
from .metrics import Metric, scores
from .plugged import CHECKED as PLUGGED
from .plugged import SAME, difference
from .prompts import prompt_lines
from .trial import REFERENCE_STEPS, Noises, Trial

LEARNED, SAMPLER = "learned", "learned sampler"
CHECKED = 4  # endpoints to solve again with twice the steps, as a check
SAYS_LITTLE = 0.2  # warn unless the endpoints' own error is below this share of the learned schedule's
MORE_STEPS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)  # multiples of K at which EDM's grid is tried, for the steps saved


@dataclass(frozen=True)
class Proof:
    """Compares the learned schedule and the learned sampler with others, on noises that no search has used.

    Attributes:
        trial: the model with its solver.
        noises: to report on.
        plans: (K+1,) levels by name, including the learned ones, and the sampler if one was found.
        cost: what finding the sampler took, in words. Empty if none was searched for.
        metrics: by name.
        published: names of the plans that are known for the model, for the picture of samples.
    """

    trial: Trial
    noises: Noises
    plans: Mapping[str, Plan]
    cost: str = ""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    published: tuple[str, ...] = ()

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """(B, *shape) samples by name."""
        return {name: self.trial.sample(plan, self.noises) for name, plan in self.plans.items()}

    @cached_property
    def errors(self) -> dict[str, np.ndarray]:
        """(B,) endpoint errors by name."""
        return {name: self.trial.errors(found, self.noises) for name, found in self.samples.items()}

    @property
    def error(self) -> float:
        """The mean error of the learned schedule."""
        return self.error_of(LEARNED)

    def error_of(self, name: str) -> float:
        """The mean error of one of the plans."""
        return float(self.errors[name].mean())

    @property
    def gains(self) -> bool:
        """Whether a sampler was found that is better than the schedule here, too."""
        return SAMPLER in self.plans and self.error_of(SAMPLER) < self.error

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
        heads = ["schedule", *(f"{kind} ± 95 %" for kind in self._columns(LEARNED)), "learned is better on"]
        yield from ("", f"| {' | '.join(heads)} |", f"|:---{'|---:' * (len(heads) - 1)}|")
        for name, found in sorted(self.errors.items(), key=lambda entry: -entry[1].mean()):
            wins = f"{100 * float((self.errors[LEARNED] < found).mean()):.0f} % of them"
            if name != SAMPLER and np.array_equal(levels_of(self.plans[name]), levels_of(self.plans[LEARNED])):
                # itself, or a grid equal to it
                wins = "–" if name == LEARNED else "the same"
            label = f"**{name}**" if name in (LEARNED, SAMPLER) else name
            yield f"| {' | '.join([label, *map(_interval, self._columns(name).values()), wins])} |"
        for kind, metric in self.metrics.items():
            if isinstance(metric, Lpips):  # a distance from them
                continue
            precise_scores = scores(kind, metric, model, self.noises, self.noises.endpoints)
            yield from ("", f"The precise endpoints have {kind} {_interval(precise_scores)}.")
        yield ""
        if self.cost:
            yield from (self._of_sampler(), "")
        if tuned_label("edm") not in self.plans:
            yield from ("(The budget did not pay for EDM's grid with its parameters tuned, a stronger rival.)", "")
        yield from self._of_pipelines()
        if not says_little:
            yield from (*self._steps_saved(), "", f"{precise}.", "")

    @cached_property
    def _precise_images(self) -> np.ndarray:
        return np.asarray(self.trial.model.decode(visible(self.noises.endpoints, self.trial.model)))  # type: ignore[attr-defined]

    def _columns(self, name: str) -> dict[str, np.ndarray]:
        """(B,) numbers by column of the table: the error, the error of images if there are any, and the metrics."""
        found = {"error": self.errors[name]}
        if getattr(self.trial.model, "decode", None) is not None:
            found["image error"] = self._image_errors(name)
        for kind, metric in self.metrics.items():
            found[kind] = scores(kind, metric, self.trial.model, self.noises, self.samples[name])
        return found

    def _image_errors(self, name: str) -> np.ndarray:
        """(B,) errors of the decoded samples of a plan."""
        images = self.trial.model.decode(visible(self.samples[name], self.trial.model))  # type: ignore[attr-defined]
        return endpoint_error(images, self._precise_images)

    def draw(self, file: Path) -> None:
        """Draw samples of the same noises by EDM's grid, published ones, what was learned, and the precise solution."""
        num_steps = len(levels_of(self.plans[LEARNED])) - 1
        names = (label("edm"), *self.published, LEARNED, *([SAMPLER] if self.gains else []))
        # Without the name of a scheduler, which is long.
        panels = {f"{name.partition(' (')[0]}, K = {num_steps}": self.samples[name] for name in names}
        draw_samples(file, self.trial.model, {**panels, "precise": self.noises.endpoints})

    def _endpoints_off(self) -> tuple[float, int]:
        """The mean error of the first few precise endpoints, and their number."""
        few = Noises(self.noises.start[:CHECKED], self.noises.endpoints[:CHECKED])
        solved_again = self.trial.solve(few.start, 2 * REFERENCE_STEPS)
        return float(self.trial.errors(solved_again, few).mean()), len(few.start)

    def _of_sampler(self) -> str:
        """What the sampler gains and costs."""
        if not self.gains:
            return f"No sampler was better than the schedule here, so none is written. The search took {self.cost}."
        less = 100 * (1 - self.error_of(SAMPLER) / self.error)
        wins = 100 * float((self.errors[SAMPLER] < self.errors[LEARNED]).mean())
        return (
            f"With as many calls the sampler has {less:.0f} % less error than the learned schedule, and is better on "
            f"{wins:.0f} % of the noises. Finding it took {self.cost}."
        )

    def _of_pipelines(self) -> Iterator[str]:
        """The error by prompt, and what a pipeline samples with what was learned. Nothing for other models."""
        shown = (label("edm"), LEARNED, *([SAMPLER] if SAMPLER in self.plans else []))
        yield from prompt_lines(self.trial.model, self.noises.start, self.errors, LEARNED, shown)
        yield from guidance_lines(self.trial, self.noises, self.plans, shown)
        if not hasattr(self.trial.model, "loop") or self.trial.solver.calls_per_step > 1:
            return
        whole = self.trial.denoiser.whole
        if whole:
            calls = get_solver("rk4").evaluations(REFERENCE_STEPS)
            yield "The pipeline depends on the number of the step, so each sample here is a whole run of it. The"
            yield f"precise endpoints are its own schedule with {calls} steps. The closed forms and the instant"
            yield "schedule come from single calls, each of which the pipeline takes for a first step."
            yield ""
        plan = self.plans[SAMPLER if self.gains else LEARNED]
        off = difference(self.trial, plan, self.noises.start[:PLUGGED])
        if off < SAME:
            yield f"Plugged into the pipeline by ARTScheduler it gives the samples measured here, to {off:.0e} of them."
        else:
            yield f"**Plugged into the pipeline it gives other samples, by {off:.0e} of them.** The errors above are"
            yield f"not its errors.{'' if whole else ' It may depend on the number of the step: learn with --whole.'}"
        yield ""

    def _steps_saved(self) -> Iterator[str]:
        num_steps = len(levels_of(self.plans[LEARNED])) - 1
        steps = [round(factor * num_steps) for factor in MORE_STEPS]
        curve = [self.trial.error(edm_grid(k, self.trial.model), self.noises) for k in steps]
        names = {LEARNED: "the learned schedule", **({SAMPLER: "the learned sampler"} if self.gains else {})}
        for name, learned in names.items():
            needed = steps_reaching(self.error_of(name), steps, curve)
            if not np.isfinite(needed):
                yield f"EDM does not reach in {steps[-1]} steps what {learned} does in {num_steps}."
            elif needed <= num_steps:
                yield f"EDM's grid is as good in {num_steps} steps: nothing was gained."
            else:
                saved = 100 * (1 - num_steps / needed)
                yield f"EDM needs about {needed:.1f} steps for what {learned} does in {num_steps}: {saved:.0f} % fewer."


def write_report(
    out: Path,
    title: str,
    plans: Mapping[str, Plan],
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
        plans: (K+1,) levels by name, including the learned ones, and the sampler if one was found.
        history: improvements in order of time.
        proof: None if learning stopped before the comparison.
        spent, stopped, seconds: what learning took, why it ended, and when.

    Returns:
        The text.
    """
    kinds = ("schedules", "samples", "sampler", "progress")
    files = {kind: out.parent / f"{out.stem}_{kind}.png" for kind in kinds}
    drawn = ["schedules"]
    levels = {name: levels_of(plan) for name, plan in plans.items() if not is_sampler(plan)}
    pictures.schedules(files["schedules"], levels, highlight=LEARNED)
    lines = [f"# {title}", ""]
    if proof is None:
        lines += [f"After {spent}, {stopped}. This is the closed form alone, and nothing was compared.", ""]
    else:
        lines += proof.lines()
        proof.draw(files["samples"])
        drawn.append("samples")
        if proof.gains and isinstance(found := plans[SAMPLER], Coefficients):
            sampler_picture(files["sampler"], Sampler.made(found, SAMPLER), SAMPLER)
            drawn.append("sampler")
        lines += [f"Learning took {spent}. It ended because {stopped}.", "", "| seconds | evaluations | by | error |"]
        lines += ["|---:|---:|:---|---:|"]
        compared = [found for found in history if np.isfinite(found.error)]
        lines += [
            f"| {f.seconds:.1f} | {f.evaluations:,} | {f.method} | {f.error:.4f} |" for f in _last_of_each(compared)
        ]
        lines += ["", "(These errors are on the noises that served to select the best.)", ""]
        if len(compared) > 1:
            times = [f.seconds for f in compared]
            errors = np.minimum.accumulate([f.error for f in compared]).tolist()
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


def _last_of_each(history: Sequence[Found]) -> list[Found]:
    """The last of several improvements in a row by the same method."""
    following = [found.method for found in history[1:]] + [None]
    return [found for found, after in zip(history, following, strict=True) if found.method != after]


def _interval(errors: np.ndarray) -> str:
    return f"{errors.mean():.4f} ± {1.96 * errors.std() / np.sqrt(len(errors)):.4f}"
