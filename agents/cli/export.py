"""`art-gym export`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Export:
    """Print a schedule or a sampler in the format of another program.

    Attributes:
        file: a schedule or sampler file, or a run's folder to print all its schedules as a JSON object of levels by K.
        format: sigmas (JSON list for k-diffusion, the default), diffusers (JSON list for EulerDiscreteScheduler, but a
            flow model's schedule needs --scheduler), comfyui (one line), csv, or json (the file itself). For a
            flow model comfyui gives s = σ/(1+σ), in which ComfyUI samples. All other formats give σ. Only csv and json
            can hold a sampler.
        scheduler: local folder of a diffusers scheduler or pipeline. Print the arguments of its set_timesteps instead,
            as a JSON object such as {"timesteps": [...]}. A flow scheduler gets s, with its shift undone.
        num_steps: resample to this K first.
        levels_alone: print only the levels of a sampler. Without its weights and told levels they are another sampler.
        out: write to this file instead of printing.
    """

    file: Annotated[Path, tyro.conf.Positional]
    format: Literal["sigmas", "diffusers", "comfyui", "csv", "json"] | None = None
    scheduler: Path | None = None
    num_steps: int | None = None
    levels_alone: bool = False
    out: Path | None = None

    def run(self) -> None:
        """Print or write it."""
        from art_gym.common.files import write_text

        if self.out is not None and os.path.realpath(self.out) == os.path.realpath(self.file):
            raise ValueError(f"{self.out} is the exported file itself, and would be lost: name another with --out")
        text = self._text()
        if self.out is None:
            print(text)
        else:
            write_text(self.out, text + "\n")

    def _text(self) -> str:
        from ..jobs.export import exported, exported_for, exported_table

        if self.scheduler and self.format not in (None, "diffusers"):
            raise ValueError(f"--scheduler prints diffusers' arguments: leave out --format {self.format}")
        if self.file.is_dir():
            if self.scheduler is not None or self.num_steps is not None or self.format not in (None, "sigmas"):
                raise ValueError(
                    f"{self.file} is a folder, and the levels of all its schedules are printed as they are: "
                    f"name one of its files"
                )
            return exported_table(self.file, self.levels_alone)
        if self.scheduler is not None:
            return exported_for(self.file, self.scheduler, self.num_steps, self.levels_alone)
        return exported(self.file, self.format or "sigmas", self.num_steps, self.levels_alone)
