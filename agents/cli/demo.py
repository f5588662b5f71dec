"""`art-gym demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Demo:
    """Train on the default environment, compare with everything else, and write runs/demo.

    It takes four minutes, and twice that on slow cores.

    Attributes:
        out: folder of the run; an earlier demo there is replaced.
        seed: of everything random.
        quick: a twentieth of the training, to see that all is in place.
    """

    out: Path = Path("runs/demo")
    seed: int = 0
    quick: bool = False

    def run(self) -> None:
        """Train, compare, draw."""
        from ..studies.demo import demo

        print(demo(self.out, self.seed, self.quick))
