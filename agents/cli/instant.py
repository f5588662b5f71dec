"""`art-gym instant`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .models import OfModel


@dataclass(frozen=True)
class Instant(OfModel):
    """Write a schedule or a sampler for a model from fewer than 1,000 evaluations.

    Attributes:
        steps: number of steps K, from 3 to 20.
        solver: dpmpp_2m or euler (DDIM).
        sampler: write a sampler, which also has its own weights and told levels.
        out: schedule or sampler file.
        compare: measure it on held-out noise, beside the closed form and EDM's grid. Needs a task.
        noises: number of held-out noises for that.
    """

    steps: int = 8
    solver: str = "dpmpp_2m"
    sampler: bool = False
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("schedule.json")
    compare: bool = False
    noises: int = 2048

    def run(self) -> None:
        """Probe, write and report."""
        from ..jobs.evaluate import check_noises
        from ..jobs.instant import compared, make_instant

        check_noises(self.noises)
        task = self.checked_task()
        if task is None and self.compare:
            raise ValueError("--compare needs a task's held-out noise: leave it out, or learn with `art-gym learn`")
        request = self.steps, self.solver, self.sampler, self.out
        found, denoiser = make_instant(self.model, task, *request, self.model_options())
        print(found.summary())
        if getattr(denoiser, "whole", False):
            print("The pipeline depends on the number of the step, and takes each call of a probe for a first step.")
            print("art-gym learn measures whole runs of it.")
        print(f"written: {self.out}")
        if self.compare:
            print(compared(found, denoiser, self.noises))
