"""`art-gym plot`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Plot:
    """Draw schedules next to EDM's grid, samplers next to DPM-Solver++(2M), and the training curves of runs.

    Attributes:
        what: schedule files, sampler files and run folders.
        out: folder for the pictures.
    """

    what: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path = Path("runs/plots")

    def run(self) -> None:
        """Draw them and print the file names."""
        from ..jobs.plot import plot_things

        for file in plot_things(self.what, self.out):
            print(file)
