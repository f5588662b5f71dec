"""`art-gym bench`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bench:
    """Measure the environments against the bare sampling loop, as ratios in one run.

    Attributes:
        seconds: per measurement.
    """

    seconds: float = 2.0

    def run(self) -> None:
        """Print the ratios."""
        from ..studies.bench import bench

        print(bench(self.seconds))
