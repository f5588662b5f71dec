"""`art-gym learn`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .models import OfModel
from .tasks import imported_task


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
        jobs: how many processes share each call of the model, with the model in each of them.
        backend: where the processes beside this one are: loky for this machine, ray for a Ray cluster that runs.
        devices: a device for each process, such as cuda:0 cuda:1, instead of --device. Ray gives its own.
        progress: show a progress bar.
    """

    steps: int = 8
    solver: str = "dpmpp_2m"
    budget: str = "10m"
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("schedule.json")
    seed: int = 0
    agent: str | None = None
    metric: tuple[str, ...] = ()
    jobs: int = 1
    backend: Literal["loky", "ray"] = "loky"
    devices: tuple[str, ...] = ()
    progress: bool = True

    def run(self) -> None:
        """Learn and report."""
        from ..learn.budget import Budget
        from ..learn.learner import Learner
        from ..learn.metrics import load_metrics
        from ..learn.request import check_request, sampler_file
        from ..learn.sharing import shared

        budget, metrics = Budget.parse(self.budget), load_metrics(self.metric)
        task, devices = self.checked_task(), self._checked_devices()
        check_request(self.steps, self.solver, self.seed, self.out, self.agent)  # before a large model is loaded
        if self.model is None:
            loads, name = [partial(_task, str(self.task))] * self.jobs, str(task)
        else:
            given, name = self.model_options(), Path(os.path.realpath(self.model)).name
            loads = [partial(_model, self.model, {**given, "device": device}) for device in devices]
        options = budget, self.out, self.seed, self.progress, self.agent, metrics
        with shared(loads, self.backend, gpu=devices[0].startswith("cuda")) as denoiser:
            print(Learner(denoiser, name, self.steps, self.solver, *options).run())
        found = sampler_file(self.out)
        files = f"{self.out}, {found.name}" if found.exists() else self.out
        print(f"written: {files}, {self.out.stem}_report.md and pictures beside it")

    def _checked_devices(self) -> tuple[str, ...]:
        """A device for each process. Raises a ValueError for a number of them that does not fit."""
        if self.jobs < 1:
            raise ValueError(f"--jobs is a number of processes of at least 1, got {self.jobs}")
        if not self.devices:
            return (self.device,) * self.jobs
        if self.backend == "ray":
            raise ValueError("leave out --devices: Ray gives each worker a GPU of its own with --device cuda")
        if self.task is not None or self.device != OfModel.device:
            raise ValueError("leave out --devices: it stands in the place of --device, and needs --model")
        if len(self.devices) != self.jobs:
            raise ValueError(f"--devices names {len(self.devices)} devices for --jobs {self.jobs}: name one for each")
        return self.devices


def _task(name: str) -> Any:
    """The denoiser of a task, whose module is imported if the name has one."""
    from art_gym.tasks.registry import get_task

    return get_task(imported_task(name)[1])


def _model(folder: Path, options: dict[str, Any]) -> Any:
    """The denoiser of a model's folder."""
    from ..learn import loading

    return loading.load_model(folder, **options)
