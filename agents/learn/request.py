"""Checks the request to `art-gym learn` before a large model is loaded."""

from __future__ import annotations

from pathlib import Path

from art_gym.common.files import check_writable
from art_gym.common.limits import MAX_STEPS
from art_gym.common.messages import short
from art_gym.denoisers.base import Denoiser
from art_gym.samplers.plans import check_whole
from art_gym.search.base import SEARCHES
from art_gym.solvers.base import get_solver

from ..algorithms.base import algorithm_class
from .unfinished import unfinished_file


def check_request(num_steps: int, solver: str, seed: int, out: Path, agent: str | None) -> None:
    """Raise a ValueError if the schedule cannot be learned or written."""
    if not 2 <= num_steps <= MAX_STEPS:
        got = short(num_steps)
        raise ValueError(f"a schedule to learn has from 2 to {MAX_STEPS} steps, got {got}: one has nothing to learn")
    if not 0 <= seed < 2**32:
        raise ValueError(f"a seed is a whole number from 0 to {2**32 - 1}, got {short(seed)}")
    get_solver(solver)
    check_new(out)
    check_agent(agent)


def check_model(model: Denoiser, solver: str, agent: str | None) -> None:
    """Raise a ValueError for a solver or an agent that a model which depends on the number of the step cannot have."""
    check_whole(model, solver)
    if agent is not None and getattr(model, "whole", False):
        raise ValueError(
            f"leave --agent {short(agent)} out: an agent makes single calls, and this model depends on the number of "
            f"the step"
        )


def check_new(out: Path) -> None:
    """Raise a ValueError if the file cannot be written, or if it, its sampler or its report exists.

    Without a report they may be of an unfinished run, which goes on.
    """
    check_writable(out)
    report = out.parent / f"{out.stem}_report.md"
    for file in (out, sampler_file(out), report):
        if file.exists() and (report.exists() or not unfinished_file(out).exists()):
            raise ValueError(f"{file} exists already, and may have cost more: remove it, or name another with -o")


def sampler_file(out: Path) -> Path:
    """The file of the learned sampler, beside the schedule's."""
    return out.with_name(f"{out.stem}_sampler.json")


def check_agent(name: str | None) -> None:
    """Raise a ValueError if the name is not an agent that can train."""
    if name in SEARCHES:
        raise ValueError(f"{short(name)} is no RL agent: leave --agent out, and CMA-ES runs by default")
    if name is not None:
        algorithm_class(name)
