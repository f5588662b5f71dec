"""The options that name a model: a diffusers folder with how to read it, or a task."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from .pipeline_options import OfPipeline
from .tasks import imported_task


@dataclass(frozen=True)
class OfModel(OfPipeline):
    """A model's folder, or a task.

    Attributes:
        model: local folder of a diffusers pipeline or model, with safetensors.
        task: name of a task, instead of a model. For a task of your own, my_module:name first imports my_module, which
            registers it.
        scheduler: folder of the scheduler that the model was trained with, if the model is not in a pipeline.
        prediction_type: what the model predicts, if its scheduler says something else: epsilon, v_prediction, sample or
            flow_prediction.
        rounding: call the model at its nearest timestep, as samplers with whole timesteps do.
        shape: channels, height and width of one latent, if the model does not say them or takes others.
        data_std: standard deviation of the data. The default is 1.0 for a pipeline with a VAE. For others it is 0.5, as
            for images in [-1, 1].
        device: cpu, cuda or mps.
        dtype: number format of the network. Everything around it uses float32.
        compile: compile the network with torch.compile. The first calls take a minute or more.
        variant: variant of the weight files, such as fp16.
        trust_remote_code: run code that the model's folder brings, with your rights. By default such a folder is
            refused.
        max_batch: maximum number of latents in one call of the model.
        max_memory: GiB for the tensors of one call, without the weights. If max_batch latents need more, calls get
            fewer.
    """

    model: Path | None = None
    task: str | None = None
    scheduler: Path | None = None
    prediction_type: str | None = None
    rounding: bool = False
    shape: tuple[int, int, int] | None = None
    data_std: float | None = None
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    variant: str | None = None
    trust_remote_code: bool = False
    max_batch: int = 64
    max_memory: float | None = None

    def checked_task(self) -> str | None:
        """The task's name, or None for a model. It imports the task's module.

        Raises:
            ValueError: unless there is either a model or a task, or for a model's options beside a task.
        """
        if (self.model is None) == (self.task is None):
            raise ValueError("name either --model, the folder of a diffusers model, or --task, a task's name")
        if self.task is None:
            return None
        names = [field.name for field in fields(OfModel) if field.name not in ("model", "task")]
        beside = [name for name in names if getattr(self, name) != getattr(OfModel, name)]
        if beside:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in beside)
            raise ValueError(f"leave out {flags}: such options need --model, and the task {self.task!r} is fixed")
        return imported_task(self.task)[1]

    def model_options(self) -> dict[str, Any]:
        """How to read the model's folder, as `art_gym.agents.learn.loading.load_model` takes it."""
        own = [field.name for field in fields(OfModel) if field.name not in ("model", "task")]
        pipeline = {field.name for field in fields(OfPipeline)}
        options = {name: getattr(self, name) for name in own if name not in pipeline}
        return {**options, "arguments": self.pipeline_arguments()}
