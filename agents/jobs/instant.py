"""The command `instant`: a schedule or sampler from a probe, and how it compares on held-out noise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from art_gym.common.files import check_writable
from art_gym.denoisers.base import Denoiser
from art_gym.evaluation.heldout import HELDOUT
from art_gym.samplers.plans import Plan
from art_gym.schedules.grids.base import make_grid
from art_gym.search.instant import Found, check_request, find
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

from ..learn.loading import load_model
from ..reports.comparison import label, row, table


def make_instant(
    model: Path | None, task: str | None, num_steps: int, solver: str, sampler: bool, out: Path, options: dict[str, Any]
) -> tuple[Found, Denoiser]:
    """Make the schedule or sampler of a model's folder or a task, and write it. Returns it and the denoiser.

    Raises:
        ValueError: if the request is invalid, the file exists or cannot be written, or there is no such model.
    """
    check_request(num_steps, solver, sampler)  # before a large model is loaded
    check_writable(out)
    if out.exists():
        raise ValueError(f"{out} exists already: remove it, or name another with -o")
    denoiser = get_task(task) if task is not None else load_model(model, **options)  # type: ignore[arg-type]
    name = task if task is not None else f"model:{Path(os.path.realpath(model)).name}"  # type: ignore[arg-type]
    found = find(denoiser, num_steps, solver, name, sampler)
    found.plan.save(out)
    return found, denoiser


def compared(found: Found, denoiser: Denoiser, noises: int = HELDOUT) -> str:
    """A table on held-out noise: what was found, the closed form of the same probe, and EDM's grid."""
    plan, num_steps = found.plan, found.plan.num_steps
    target = Target(str(plan.task), denoiser, Target.of(denoiser, str(plan.solver)).solver)
    plans: dict[str, Plan] = {
        label("edm"): make_grid("edm", num_steps, denoiser),
        "ART closed form": found.probe.closed_form(num_steps),
        "instant": plan,
    }
    return table([row(name, target, plan, noises) for name, plan in plans.items()], "instant")
