"""The stages of `art-gym learn`, when each one began, and what they took in words."""

from __future__ import annotations

from typing import NamedTuple

from .budget import Metered

REPORT = "report"


class Stage(NamedTuple):
    """A stage, with the seconds and evaluations at its beginning."""

    name: str
    seconds: float
    evaluations: int


class Stages:
    """The stages of a run that have begun. Each one ends where the next begins.

    Args:
        meter: of the run.
        before: the stages of an earlier run that was killed. All but the last of them have ended.

    Attributes:
        begun: the stages in order.
        before: what an earlier run has spent, in words. Empty without one.
    """

    def __init__(self, meter: Metered, before: tuple[Stage, ...] = ()) -> None:
        self.meter, self.begun = meter, list(before)
        self._ended = {stage.name for stage in before[:-1]}
        spent = f"{meter.seconds:.0f} s and {meter.evaluations:,} evaluations"
        self.before = f"going on after {spent}, in the stage {before[-1].name}" if before else ""

    def begin(self, name: str) -> bool:
        """Begin a stage, or go on with it. Returns False if it has ended in an earlier run."""
        if name in self._ended:
            return False
        if not self.begun or self.begun[-1].name != name:
            self.begun.append(Stage(name, self.meter.seconds, self.meter.evaluations))
        return True

    def ended(self, name: str) -> bool:
        """Whether a stage has ended in an earlier run."""
        return name in self._ended

    def share_at(self, name: str) -> float:
        """The share of the budget that was spent when a stage began."""
        (stage,) = (stage for stage in self.begun if stage.name == name)
        return self.meter.share_of(stage.seconds, stage.evaluations)

    def spent(self, seconds: float) -> str:
        """What the stages took until now, in words."""
        shown = [stage for stage in self.begun if stage.name != REPORT]
        ends = [stage.seconds for stage in shown[1:]] + [seconds]
        parts = [f"{stage.name} until {end:.1f} s" for stage, end in zip(shown, ends, strict=True)]
        return f"{seconds:.0f} s and {self.meter.evaluations:,} denoiser evaluations ({', '.join(parts)})"

    def cost_of(self, name: str, seconds: float) -> str:
        """What a stage took, in words. Empty without it."""
        places = [place for place, stage in enumerate(self.begun) if stage.name == name]
        if not places:
            return ""
        now = Stage("", seconds, self.meter.evaluations)
        stage, after = [*self.begun, now][places[0] : places[0] + 2]
        used = after.evaluations - stage.evaluations
        before = f"after {stage.evaluations:,} for the schedule"
        return f"{after.seconds - stage.seconds:.0f} s and {used:,} evaluations, {before}"
