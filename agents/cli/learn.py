"""`art-gym learn`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .tasks import imported_task

OF_A_MODEL = (
    *("scheduler", "prediction_type", "rounding", "shape", "data_std", "device", "dtype", "variant", "max_batch"),
    "max_memory",
)


@dataclass(frozen=True)
class Learn:
    """Find a better schedule and sampler for your own model within a budget, and write them with a report and pictures.

    Attributes:
        model: local folder of a diffusers pipeline or model, with safetensors.
        task: name of a task, instead of a model. For a task of your own, my_module:name first imports my_module, which
            registers it.
        steps: number of steps K.
        solver: euler (DDIM), heun, dpmpp_2m or rk4.
        budget: time or denoiser evaluations for the search, such as 90s, 10m, 1.5h or 200000nfe. Loading the model and
            the report come on top.
        out: schedule file. The sampler (_sampler.json), the report and the pictures go beside it. A sampler is written
            only if it is better than the schedule.
        scheduler: folder of the scheduler that the model was trained with, if the model is not in a pipeline.
        prediction_type: what the model predicts, if its scheduler says something else: epsilon, v_prediction, sample or
            flow_prediction.
        rounding: call the model at its nearest timestep, as samplers with whole timesteps do.
        shape: channels, height and width of one latent, if the model does not say them or takes others.
        data_std: standard deviation of the data. The default is 1.0 for a pipeline with a VAE. For others it is 0.5, as
            for images in [-1, 1].
        device: cpu, cuda or mps.
        dtype: number format of the network. Everything around it uses float32.
        variant: variant of the weight files, such as fp16.
        max_batch: maximum number of latents in one call of the model.
        max_memory: GiB for the tensors of one call, without the weights. If max_batch latents need more, calls get
            fewer.
        seed: seed of the noises and the search.
        agent: RL agent that follows Gauss-Newton, instead of samplers and CMA-ES: ppo, sac, or any class of
            stable-baselines3 or sb3-contrib by name.
        progress: show a progress bar.
    """

    model: Path | None = None
    task: str | None = None
    steps: int = 8
    solver: str = "dpmpp_2m"
    budget: str = "10m"
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("schedule.json")
    scheduler: Path | None = None
    prediction_type: str | None = None
    rounding: bool = False
    shape: tuple[int, int, int] | None = None
    data_std: float | None = None
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    variant: str | None = None
    max_batch: int = 64
    max_memory: float | None = None
    seed: int = 0
    agent: str | None = None
    progress: bool = True

    def run(self) -> None:
        """Learn and report."""
        from art_gym.tasks.registry import get_task

        from ..learn.budget import Budget
        from ..learn.learner import Learner
        from ..learn.loading import load_model
        from ..learn.request import check_request, sampler_file

        budget = Budget.parse(self.budget)
        if (self.model is None) == (self.task is None):
            raise ValueError("name either --model, the folder of a diffusers model, or --task, a task's name")
        beside = [name for name in OF_A_MODEL if getattr(self, name) != getattr(Learn, name)]
        if self.task is not None and beside:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in beside)
            raise ValueError(f"leave out {names}: such options need --model, and the task {self.task!r} is fixed")
        task = "" if self.task is None else imported_task(self.task)[1]
        check_request(self.steps, self.solver, self.seed, self.out, self.agent)  # before a large model is loaded
        if self.model is not None:
            denoiser = load_model(self.model, **{name: getattr(self, name) for name in OF_A_MODEL})
        else:
            denoiser = get_task(task)
        name = task or self.model.resolve().name  # type: ignore[union-attr]
        options = budget, self.out, self.seed, self.progress, self.agent
        print(Learner(denoiser, name, self.steps, self.solver, *options).run())
        found = sampler_file(self.out)
        files = f"{self.out}, {found.name}" if found.exists() else self.out
        print(f"written: {files}, {self.out.stem}_report.md and pictures beside it")
