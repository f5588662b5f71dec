"""`art-gym evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from .tasks import imported_task


@dataclass(frozen=True)
class Evaluate:
    """Evaluate schedule files, a run's folder, or named grids on held-out noise, beside EDM's grid.

    Attributes:
        what: schedule files, run folders, or grids by name as in edm:10 (name:K).
        task: for schedules that do not name one, or to evaluate them elsewhere; my_module:name imports my_module first,
            where the task of your own is registered. A run's folder does that by itself, a schedule file never.
        solver: likewise.
        noises: how many held-out noises.
    """

    what: Annotated[tuple[str, ...], tyro.conf.Positional]
    task: str | None = None
    solver: str | None = None
    noises: int = 2048

    def run(self) -> None:
        """Print the table."""
        from ..jobs.evaluate import evaluate_things

        task = None if self.task is None else imported_task(self.task)[1]
        print(evaluate_things(self.what, task, self.solver, self.noises))
