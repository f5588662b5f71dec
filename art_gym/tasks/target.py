"""What a schedule is for: a denoiser with a solver. Names become one of these at the edge, and none further inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.solvers.base import Solver, get_solver
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.registry import resolve

BANK = 4096  # noises of a split that schedules are fitted to, or measured on


@dataclass(frozen=True, eq=False)
class Target:
    """A denoiser with a solver.

    Attributes:
        task: its name in files and tables.
        denoiser: what is sampled.
        solver: what samples are drawn with.
    """

    task: str
    denoiser: Denoiser
    solver: Solver

    @classmethod
    def of(cls, task: str | Denoiser, solver: str | Solver = "dpmpp_2m") -> Target:
        """From a task's name or a denoiser, and a solver's name or object. Raises a ValueError for unknown names."""
        return cls(name_of(task), resolve(task), get_solver(solver))

    def noises(self, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The first (count, *shape) noises of a split at σ_max, and their precise endpoints."""
        return get_bank(self.denoiser, split, max(count, BANK)).first(count)

    @property
    def flow(self) -> bool:
        """Whether the model is a flow, of which schedules are marked."""
        return bool(getattr(self.denoiser, "flow", False))


def name_of(part: object) -> str:
    """A task's or solver's name; the type of an object that has none."""
    return part if isinstance(part, str) else str(getattr(part, "name", type(part).__name__))
