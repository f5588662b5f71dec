"""`art-gym learn`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .models import OfModel


@dataclass(frozen=True)
class Learn(OfModel):
    """Find a better schedule and sampler for your own model within a budget, and write them with a report and pictures.

    Attributes:
        steps: number of steps K.
        solver: euler (DDIM), heun, dpmpp_2m or rk4.
        budget: time or denoiser evaluations for the search, such as 90s, 10m, 1.5h or 200000nfe. Loading the model and
            the report come on top.
        out: schedule file. The sampler (_sampler.json), the report and the pictures go beside it. A sampler is written
            only if it is better than the schedule.
        seed: seed of the noises and the search.
        agent: RL agent that follows Gauss-Newton, instead of samplers and CMA-ES: ppo, sac, or any class of
            stable-baselines3 or sb3-contrib by name.
        metric: your own functions, such as my_module:score, of images and their prompts, or lpips. The report shows
            their scores beside the endpoint error.
        progress: show a progress bar.
    """

    steps: int = 8
    solver: str = "dpmpp_2m"
    budget: str = "10m"
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("schedule.json")
    seed: int = 0
    agent: str | None = None
    metric: tuple[str, ...] = ()
    progress: bool = True

    def run(self) -> None:
        """Learn and report."""
        from art_gym.tasks.registry import get_task

        from ..learn.budget import Budget
        from ..learn.learner import Learner
        from ..learn.loading import load_model
        from ..learn.metrics import load_metrics
        from ..learn.request import check_request, sampler_file

        budget, metrics = Budget.parse(self.budget), load_metrics(self.metric)
        task = self.checked_task()
        check_request(self.steps, self.solver, self.seed, self.out, self.agent)  # before a large model is loaded
        if self.model is None:
            denoiser, name = get_task(str(task)), str(task)
        else:
            denoiser, name = load_model(self.model, **self.model_options()), Path(os.path.realpath(self.model)).name
        options = budget, self.out, self.seed, self.progress, self.agent, metrics
        print(Learner(denoiser, name, self.steps, self.solver, *options).run())
        found = sampler_file(self.out)
        files = f"{self.out}, {found.name}" if found.exists() else self.out
        print(f"written: {files}, {self.out.stem}_report.md and pictures beside it")
