"""`art-gym train-instant`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainInstant:
    """Train the policy behind `art-gym instant` on random exact models.

    Attributes:
        out: weight file (safetensors).
        models: number of random models, instead of the recipe's. Wide spectra and trees come on top. Their seeds follow
            each other, and the networks have seeds of their own.
        first: number of the first training model. Policies of disjoint models show how much the choice matters.
        progress: show a progress bar.
    """

    out: Path = Path("runs/instant.safetensors")
    models: int | None = None
    first: int = 0
    progress: bool = True

    def run(self) -> None:
        """Train and write it."""
        from art_gym.common.files import check_writable
        from art_gym.schedules.instant import save_policy

        from ..training.instant import train_instant

        if self.out.exists():
            raise ValueError(f"{self.out} exists already: remove it, or name another with --out")
        check_writable(self.out)
        policy = train_instant(self.models, first=self.first, progress=self.progress)
        save_policy(policy, self.out)
        print(f"written: {self.out}, after {policy.facts['seconds']} s")
