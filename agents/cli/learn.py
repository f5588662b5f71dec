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
    """Find a better schedule for a model of your own: a schedule file, a report and pictures, within a budget.

    Attributes:
        model: local folder of a diffusers pipeline or model, with safetensors.
        task: a task's name, instead of a model; my_module:name imports my_module first, where your own is registered.
        steps: K.
        solver: euler (DDIM), heun, dpmpp_2m or rk4.
        budget: time or denoiser evaluations, as 90s, 10m, 1.5h or 200000nfe; of the search: loading the model and the
            report come on top.
        out: schedule file; the report and the pictures go beside it.
        scheduler: for a model alone, the folder of the scheduler that it was trained with.
        prediction_type: what the model predicts, instead of what its scheduler says: epsilon, v_prediction, sample or
            flow_prediction.
        rounding: call the model at the nearest of its timesteps, as samplers do that know whole ones only.
        shape: of one latent, as channels height width, where the model does not say it or takes others.
        data_std: standard deviation of the data; by default 1.0 for a pipeline with a VAE and 0.5, that of images in
            [-1, 1], for others.
        device: cpu, cuda, mps.
        dtype: of the network; everything around it is computed in float32.
        variant: of the weight files, such as fp16.
        max_batch: most latents in one call of the model.
        max_memory: GiB that the tensors of one call may take, weights aside: fewer latents where max_batch take more.
        seed: of the noises and the search.
        agent: an RL agent that goes on where Gauss-Newton stops (ppo, sac, any class of stable-baselines3 or
            sb3-contrib by name), instead of CMA-ES.
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
        from ..learn.request import check_request

        budget = Budget.parse(self.budget)
        if (self.model is None) == (self.task is None):
            raise ValueError("name either --model, the folder of a diffusers model, or --task, a task's name")
        beside = [name for name in OF_A_MODEL if getattr(self, name) != getattr(Learn, name)]
        if self.task is not None and beside:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in beside)
            raise ValueError(f"only with --model can there be {names}: the task {self.task!r} is made as it is")
        task = "" if self.task is None else imported_task(self.task)[1]
        check_request(self.steps, self.solver, self.seed, self.out, self.agent)  # before a large model is loaded
        if self.model is not None:
            denoiser = load_model(self.model, **{name: getattr(self, name) for name in OF_A_MODEL})
        else:
            denoiser = get_task(task)
        name = task or self.model.resolve().name  # type: ignore[union-attr]
        options = budget, self.out, self.seed, self.progress, self.agent
        print(Learner(denoiser, name, self.steps, self.solver, *options).run())
        print(f"written: {self.out}, {self.out.stem}_report.md and pictures beside it")
