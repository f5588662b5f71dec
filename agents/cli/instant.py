"""`art-gym instant`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .learn import OF_A_MODEL
from .tasks import imported_task


@dataclass(frozen=True)
class Instant:
    """Write a schedule for a model from one probe of about 800 evaluations, without a search.

    Attributes:
        model: local folder of a diffusers pipeline or model, with safetensors.
        task: name of a task, instead of a model. For a task of your own, my_module:name first imports my_module, which
            registers it.
        steps: number of steps K, from 3 to 20.
        solver: dpmpp_2m or euler (DDIM).
        out: schedule file.
        compare: measure it on held-out noise, beside the closed form and EDM's grid. Needs a task.
        noises: number of held-out noises for that.
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
    """

    model: Path | None = None
    task: str | None = None
    steps: int = 8
    solver: str = "dpmpp_2m"
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("schedule.json")
    compare: bool = False
    noises: int = 2048
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

    def run(self) -> None:
        """Probe, write and report."""
        from ..jobs.instant import check_noises, compared, make_instant

        check_noises(self.noises)
        task = self._checked_task()
        options = {name: getattr(self, name) for name in OF_A_MODEL}
        found, denoiser = make_instant(self.model, task, self.steps, self.solver, self.out, options)
        print(found.summary())
        print(f"written: {self.out}")
        if self.compare:
            print(compared(found, denoiser, self.noises))

    def _checked_task(self) -> str | None:
        """The task's name, or None for a model."""
        if (self.model is None) == (self.task is None):
            raise ValueError("name either --model, the folder of a diffusers model, or --task, a task's name")
        if self.task is None:
            if self.compare:
                raise ValueError("--compare needs a task's held-out noise: leave it out, or learn with `art-gym learn`")
            return None
        beside = [name for name in OF_A_MODEL if getattr(self, name) != getattr(Instant, name)]
        if beside:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in beside)
            raise ValueError(f"leave out {names}: such options need --model, and the task {self.task!r} is fixed")
        return imported_task(self.task)[1]
