"""The outcome of a training run by any method: grids, their evaluation on held-out noise, and their cost."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from art_gym.common.files import write_text
from art_gym.evaluation.heldout import Evaluation
from art_gym.samplers.plans import Document, is_sampler, load

INSTANT = "instant schedules"  # what an agent for any model begins with


@dataclass(frozen=True)
class Outcome:
    """Schedules for each budget K with their evaluation on held-out noise.

    Attributes:
        method: ppo, sac, …, cma, gradient, defect.
        task, solver: names.
        plans: the schedule or the sampler for each K; the mean one of a policy that depends on the latents.
        as_grid: evaluation of that plan.
        as_policy: evaluation of the policy itself; None for methods that find a grid.
        evaluations: denoiser evaluations of training, one per sample and level. Evaluating progress and computing
            endpoints of noises do not count.
        seconds: wall time of training, without these two.
        begun_by, begun_with: what the agent began with, and its size in words; without a start None and "".
        as_start: evaluation of the policy as the warm start left it; None without one.
    """

    method: str
    task: str
    solver: str
    plans: dict[int, Document]
    as_grid: dict[int, Evaluation]
    as_policy: dict[int, Evaluation] | None
    evaluations: int
    seconds: float
    begun_by: str | None = None
    begun_with: str = ""
    as_start: dict[int, Evaluation] | None = None

    def save(self, folder: Path) -> list[Path]:
        """Write a schedule or sampler file for each K and ``result.json``; returns the former."""
        files = []
        for plan in self.plans.values():
            files.append(plan_file(folder, plan))
            plan.save(files[-1])
        write_text(folder / "result.json", json.dumps(asdict(self), indent=2, default=_jsonable))
        return files


def plan_file(folder: Path, plan: Document) -> Path:
    """The name of a plan's file in a run's folder."""
    return folder / f"{'sampler' if is_sampler(plan) else 'schedule'}_K{plan.num_steps}.json"


def plan_files(folder: Path) -> list[Path]:
    """The files of all plans in a run's folder, by K."""
    files = [file for kind in ("schedule", "sampler") for file in folder.glob(f"{kind}_K*.json")]
    return sorted(files, key=lambda file: (load(file).num_steps, file.name))


def _jsonable(value: Any) -> Any:
    return value.tolist()  # arrays and numpy numbers
