"""Plans: what a sampler can be given, a schedule for its solver or all of a sampler's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from art_gym.common.documents import MOST_BYTES, format_of
from art_gym.common.reading import read_json
from art_gym.denoisers.base import Array
from art_gym.samplers.coefficients import Coefficients, follow, runs_whole
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.schedule import Schedule, as_levels
from art_gym.solvers.base import Denoise, Solver, get_solver
from art_gym.solvers.loop import integrate

Document = Schedule | Sampler  # what files hold
Plan = Document | Coefficients | Sequence[float] | np.ndarray


def draw(denoise: Denoise, plan: Plan, x: Array, solver: str | Solver) -> Array:
    """Sample from x at the first level by a schedule with a solver, or by a sampler, which needs none.

    Raises:
        ValueError: for a solver of several calls a step, if the denoiser depends on the number of the step.
    """
    if isinstance(plan, Sampler):
        plan = plan.coefficients()
    if isinstance(plan, Coefficients):
        return follow(denoise, plan, x)
    return draw_levels(denoise, as_levels(plan), x, solver)


def draw_levels(denoise: Denoise, levels: np.ndarray, x: Array, solver: str | Solver) -> Array:
    """Sample by (K+1,) levels with a solver: in one go if the denoiser can, and else as `integrate` does.

    Raises:
        ValueError: for a solver of several calls a step, if the denoiser depends on the number of the step.
    """
    check_whole(denoise, solver)
    if runs_whole(denoise) and get_solver(solver).calls_per_step == 1:
        return follow(denoise, Sampler.of(levels, solver).coefficients(), x)
    return integrate(denoise, levels, x, solver)


def check_whole(denoise: Denoise, solver: str | Solver) -> None:
    """Raise a ValueError for a solver of several calls a step, if D depends on the number of the step."""
    found = get_solver(solver)
    if getattr(denoise, "whole", False) and found.calls_per_step > 1:
        raise ValueError(
            f"this model depends on the number of the step, and {found.name} makes {found.calls_per_step} calls a "
            f"step: choose the solver dpmpp_2m or euler"
        )


def levels_of(plan: Plan) -> np.ndarray:
    """The (K+1,) levels of a plan."""
    if isinstance(plan, Coefficients | Sampler):
        return np.array(plan.sigmas)
    return as_levels(plan)


def is_sampler(plan: Plan) -> bool:
    """Whether a plan is a sampler, and not only its levels."""
    return isinstance(plan, Coefficients | Sampler)


def document(plan: Plan, method: str, **provenance: Any) -> Document:
    """A plan with its provenance, as a file holds it."""
    if isinstance(plan, Coefficients):
        plan = Sampler.made(plan, method)
    if isinstance(plan, Sampler):
        return replace(plan, method=method, **provenance)
    return Schedule(tuple(as_levels(plan)), method, **provenance)


def load(file: str | Path) -> Document:
    """Read a schedule or a sampler file.

    Raises:
        ValueError: as `Schedule.load` and `Sampler.load`.
    """
    try:
        content = read_json(file, MOST_BYTES)
        written = content.get("format")
    except (OSError, ValueError, AttributeError):
        written = None  # the schedule's reader says what is wrong
    kind = format_of(Sampler.file_schema).partition("/")[0]
    return Sampler.load(file) if isinstance(written, str) and written.startswith(f"{kind}/") else Schedule.load(file)
