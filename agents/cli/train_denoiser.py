"""`art-gym train-denoiser`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class TrainDenoiser:
    """Train one of the shipped networks again.

    Attributes:
        name: digits, mnist or photos.
        kind: the denoiser, or the small classifier that gives the features for comparing images.
        out: weight file (safetensors). Checkpoints and TensorBoard logs go beside it.
        seed: seed of everything random.
        updates: number of updates, instead of the recipe's.
        resume: continue from the last checkpoint.
        progress: show a progress bar.
    """

    name: Annotated[str, tyro.conf.Positional]
    kind: Literal["denoiser", "classifier"] = "denoiser"
    out: Path | None = None
    seed: int = 0
    updates: int | None = None
    resume: bool = False
    progress: bool = True

    def run(self) -> None:
        """Train and print the facts."""
        from ..training.classifiers import train_classifier
        from ..training.networks import train_denoiser

        file = self.out or Path("runs") / f"{self.name}_{'net' if self.kind == 'denoiser' else 'lenet'}.safetensors"
        if self.kind == "classifier" and self.resume:
            raise ValueError("a classifier is trained in a minute and has no checkpoints: leave --resume out")
        if file.exists() and not self.resume:
            raise ValueError(f"{file} exists already: remove it, or name another with --out")
        if self.kind == "classifier":
            facts = train_classifier(self.name, file, self.seed, self.updates)
        else:
            facts = train_denoiser(self.name, file, self.seed, self.resume, self.progress, self.updates)
        print(f"written to {file}: " + ", ".join(f"{key} {value:.4g}" for key, value in facts.items()))
