"""The best schedule so far, its history, and the file that it is kept in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from art_gym.schedules.schedule import Schedule
from art_gym.tasks.registry import task_names

from .trial import Noises, Trial


@dataclass(frozen=True)
class Found:
    """An improvement: when, by what, and its error on the noises that are chosen on (NaN before there are any)."""

    seconds: float
    evaluations: int
    method: str
    error: float
    levels: np.ndarray


class Book:
    """Keeps a schedule where it is the best so far on the noises that are chosen on, and writes it at once.

    Args:
        trial: of the model with its solver.
        name: of the model, for the schedule's provenance.
        seed: likewise.
        out: schedule file.
    """

    def __init__(self, trial: Trial, name: str, seed: int, out: Path) -> None:
        self.trial, self.name, self.seed, self.out = trial, name, seed, out
        self.history: list[Found] = []
        self.chosen: Noises | None = None

    @property
    def best(self) -> Found:
        """The last that was kept."""
        return self.history[-1]

    def choose_on(self, noises: Noises) -> None:
        """Measure on these from now on; what was kept without is measured now, though it was found before."""
        self.chosen = noises
        self.history = [replace(found, error=self.trial.error(found.levels, noises)) for found in self.history]

    def offer(self, method: str, levels: np.ndarray) -> None:
        """Keep (K+1,) levels if they are the best so far."""
        error = np.nan if self.chosen is None else self.trial.error(levels, self.chosen)
        if not self.history or error < self.best.error:
            meter = self.trial.denoiser
            self.history.append(Found(meter.seconds, meter.evaluations, method, error, levels))
            self.schedule().save(self.out)

    def schedule(self, error: float | None = None) -> Schedule:
        """The best so far, with its error on held-out noise where that is known."""
        # "model:" keeps a model from being taken for a task of its name when the schedule is evaluated.
        task = self.name if self.name.partition("?")[0] in task_names() else f"model:{self.name}"
        flow = getattr(self.trial.model, "flow", False)
        return Schedule(tuple(self.best.levels), self.best.method, task, self.trial.solver.name, self.seed, error, flow)

    def kept(self) -> str:
        """What stands in the file, for messages."""
        error = self.best.error
        proven = f", error {error:.4f} on the noises chosen on" if np.isfinite(error) else ""
        return f"{self.out} holds the best schedule so far ({self.best.method}{proven}), without a report"
