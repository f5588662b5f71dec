"""`art-gym demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Demo:
    """Train an agent on the default environment, compare it with all other schedules, and write runs/demo.

    This takes two to three minutes on two free cores.

    Attributes:
        out: folder of the run. It replaces an earlier demo there.
        seed: seed of everything random.
        quick: use a twentieth of the training, to check that everything works.
    """

    out: Path = Path("runs/demo")
    seed: int = 0
    quick: bool = False

    def run(self) -> None:
        """Train, compare, draw."""
        from ..studies.demo import demo

        print(demo(self.out, self.seed, self.quick))
