"""The outcome of a training run by any method: grids, their evaluation on held-out noise, and their cost."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from art_gym.common.files import write_text
from art_gym.evaluation.heldout import Evaluation
from art_gym.schedules.schedule import Schedule


@dataclass(frozen=True)
class Outcome:
    """Schedules for each budget K with their evaluation on held-out noise.

    Attributes:
        method: ppo, sac, …, cma, gradient, defect.
        task, solver: names.
        schedules: the grid for each K; the mean grid of a policy that depends on the latents.
        as_grid: evaluation of that grid.
        as_policy: evaluation of the policy itself; None for methods that find a grid.
        evaluations: denoiser evaluations of training, one per sample and level. Evaluating progress and computing
            endpoints of noises do not count.
        seconds: wall time of training, without these two.
        searches: number in the agent's warm start (`agents/training/warm_start.py`); 0 without one.
        as_start: evaluation of the policy as the warm start left it; None without one.
    """

    method: str
    task: str
    solver: str
    schedules: dict[int, Schedule]
    as_grid: dict[int, Evaluation]
    as_policy: dict[int, Evaluation] | None
    evaluations: int
    seconds: float
    searches: int = 0
    as_start: dict[int, Evaluation] | None = None

    def save(self, folder: Path) -> list[Path]:
        """Write ``schedule_K….json`` for each K and ``result.json``; returns the schedule files."""
        files = []
        for num_steps, schedule in self.schedules.items():
            file = folder / f"schedule_K{num_steps}.json"
            schedule.save(file)
            files.append(file)
        write_text(folder / "result.json", json.dumps(asdict(self), indent=2, default=_jsonable))
        return files


def _jsonable(value: Any) -> Any:
    return value.tolist()  # arrays and numpy numbers
