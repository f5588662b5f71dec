"""The best schedule or sampler so far, its history, and the file that holds it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from art_gym.samplers.plans import Document, Plan, document
from art_gym.tasks.registry import task_names

from .trial import Noises, Trial


@dataclass(frozen=True)
class Found:
    """An improvement: its time, its method, and its error on the selection noises (NaN before there are any)."""

    seconds: float
    evaluations: int
    method: str
    error: float
    plan: Plan


class Book:
    """Keeps the best schedule, or sampler, so far on the selection noises, and writes it to its file at once.

    Args:
        trial: the model with its solver.
        name, seed: of the model and the search, for the provenance.
        out: file.
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
        """Select on these noises from now on, and measure the earlier improvements on them too, unless they were."""
        self.chosen = noises
        self.history = [
            found if np.isfinite(found.error) else replace(found, error=self.trial.error(found.plan, noises))
            for found in self.history
        ]

    def offer(self, method: str, plan: Plan, below: float = np.inf) -> None:
        """Keep a plan if it is the best so far, and its error is below a bound."""
        error = np.nan if self.chosen is None else self.trial.error(plan, self.chosen)
        least = min(below, self.best.error) if self.history else below
        if error < least or (self.chosen is None and not self.history):
            meter = self.trial.denoiser
            self.history.append(Found(meter.seconds, meter.evaluations, method, error, plan))
            self.document().save(self.out)

    def document(self, error: float | None = None) -> Document:
        """The best so far, with its error on held-out noise if that is known."""
        # Without "model:", evaluation could mistake the model for a task of the same name.
        task = self.name if self.name.partition("?")[0] in task_names() else f"model:{self.name}"
        flow = getattr(self.trial.model, "flow", False)
        solver = self.trial.solver.name
        known = {"task": task, "solver": solver, "seed": self.seed, "heldout_error": error, "flow": flow}
        return document(self.best.plan, self.best.method, **known)

    def kept(self) -> str:
        """What the file holds, for messages."""
        error = self.best.error
        proven = f", error {error:.4f} on the selection noises" if np.isfinite(error) else ""
        return f"{self.out} holds the best schedule so far ({self.best.method}{proven}), without a report"
