"""`art-gym bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Bench:
    """Compare the speed of the environments with the bare sampling loop, as ratios.

    Attributes:
        seconds: time for each measurement.
        picture: file to draw the ratios to.
    """

    seconds: float = 2.0
    picture: Path | None = None

    def run(self) -> None:
        """Print the ratios."""
        from ..studies.bench import bench

        print(bench(self.seconds, self.picture))
