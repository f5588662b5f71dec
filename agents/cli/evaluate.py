"""`art-gym evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from .tasks import imported_task


@dataclass(frozen=True)
class Evaluate:
    """Evaluate schedules, samplers, run folders or named grids on held-out noise, next to EDM's grid.

    Attributes:
        what: schedule files, sampler files, run folders, or grids as name:K, such as edm:10 or art:10.
        task: task to evaluate on, if a file names none or you want another. For a task of your own, my_module:name
            first imports my_module, which registers it. A run's folder or a file never imports a module by itself.
        solver: solver to evaluate schedules with, if a file names none or you want another. A sampler needs none.
        noises: number of held-out noises.
    """

    what: Annotated[tuple[str, ...], tyro.conf.Positional]
    task: str | None = None
    solver: str | None = None
    noises: int = 2048

    def run(self) -> None:
        """Print the table."""
        from ..jobs.evaluate import evaluate_things

        module, task = (None, None) if self.task is None else imported_task(self.task)
        print(evaluate_things(self.what, task, self.solver, self.noises, [module] if module else []))
