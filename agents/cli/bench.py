"""`art-gym bench`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bench:
    """Compare the speed of the environments with the bare sampling loop, as ratios.

    Attributes:
        seconds: time for each measurement.
    """

    seconds: float = 2.0

    def run(self) -> None:
        """Print the ratios."""
        from ..studies.bench import bench

        print(bench(self.seconds))
