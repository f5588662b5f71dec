"""The best schedule so far, its history, and the file that holds it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from art_gym.schedules.schedule import Schedule
from art_gym.tasks.registry import task_names

from .trial import Noises, Trial


@dataclass(frozen=True)
class Found:
    """An improvement: its time, its method, and its error on the selection noises (NaN before there are any)."""

    seconds: float
    evaluations: int
    method: str
    error: float
    levels: np.ndarray


class Book:
    """Keeps the best schedule so far on the selection noises, and writes it to its file at once.

    Args:
        trial: the model with its solver.
        name, seed: of the model and the search, for the schedule's provenance.
        out: schedule file.
    """

    def __init__(self, trial: Trial, name: str, seed: int, out: Path) -> None:
        self.trial, self.name, self.seed, self.out = trial, name, seed, out
        self.history: list[Found] = []
        self.chosen: Noises | None = None

    @property
    def best(self) -> Found:
        """The last improvement."""
        return self.history[-1]

    def choose_on(self, noises: Noises) -> None:
        """Select on these noises from now on, and measure the earlier improvements on them too."""
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
        """The best so far, with its error on held-out noise if that is known."""
        # Without "model:", evaluation could mistake the model for a task of the same name.
        task = self.name if self.name.partition("?")[0] in task_names() else f"model:{self.name}"
        flow = getattr(self.trial.model, "flow", False)
        return Schedule(tuple(self.best.levels), self.best.method, task, self.trial.solver.name, self.seed, error, flow)

    def kept(self) -> str:
        """What the file holds, for messages."""
        error = self.best.error
        proven = f", error {error:.4f} on the selection noises" if np.isfinite(error) else ""
        return f"{self.out} holds the best schedule so far ({self.best.method}{proven}), without a report"
