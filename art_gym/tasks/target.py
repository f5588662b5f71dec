"""A target is what a schedule or a sampler is for. Only the outer code turns names into targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.samplers.freedom import Freedom
from art_gym.solvers.base import Solver, get_solver
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.registry import resolve

BANK = 4096  # noises of a split, to fit schedules to or to measure them on


@dataclass(frozen=True, eq=False)
class Target:
    """A denoiser with a solver, and what may be chosen.

    Attributes:
        task: its name in files and tables.
        denoiser: the model to sample from.
        solver: the solver to sample with.
        freedom: what of a sampler may be chosen; None for schedules of the solver.
    """

    task: str
    denoiser: Denoiser
    solver: Solver
    freedom: Freedom | None = None

    @classmethod
    def of(cls, task: str | Denoiser, solver: str | Solver = "dpmpp_2m", freedom: Freedom | None = None) -> Target:
        """Make a target from a task's name or a denoiser, and a solver. Raises a ValueError for unknown names."""
        return cls(name_of(task), resolve(task), get_solver(solver), freedom)

    def noises(self, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first (count, *shape) noises of a split at σ_max, and their precise endpoints."""
        return get_bank(self.denoiser, split, max(count, BANK)).first(count)

    @property
    def flow(self) -> bool:
        """Whether the model is a flow model. Its schedules are marked."""
        return bool(getattr(self.denoiser, "flow", False))


def name_of(part: object) -> str:
    """Return a task's or solver's name, or the type name of an object without one."""
    return part if isinstance(part, str) else str(getattr(part, "name", type(part).__name__))
