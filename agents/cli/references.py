"""`art-gym references`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .tasks import imported_task


@dataclass(frozen=True)
class References:
    """Compute the best fixed grids or samplers, which scores refer to. This is slow and keeps existing ones.

    Attributes:
        tasks: tasks to compute, by default the built-in ones. my_module:name imports my_module first.
        solvers: solvers to compute.
        steps: numbers of steps K to compute.
        file: output file, by default in the package's own data.
        seed: seed of the search.
        again: compute existing grids again, and keep the better of the two on training noise.
        candidates: files of JSON lines with learned schedules. Polish these instead of searching.
        action: actions that the oracle stands for. fraction means grids, and sampler, weights or told_weights samplers.
    """

    tasks: tuple[str, ...] = ()
    solvers: tuple[str, ...] = ("dpmpp_2m", "euler", "heun")
    steps: tuple[int, ...] = (5, 7, 10, 18)
    file: Path | None = None
    seed: int = 0
    again: bool = False
    candidates: tuple[Path, ...] = ()
    action: str = "fraction"

    def run(self) -> None:
        """Compute and store them."""
        from art_gym.envs.actions.base import get_action
        from art_gym.envs.actions.sampler import freedom_of
        from art_gym.evaluation.references import compute_all
        from art_gym.tasks.references import REFERENCES_FILE
        from art_gym.tasks.registry import BUILT_IN

        file = self.file or REFERENCES_FILE
        wanted = [imported_task(task)[1] for task in self.tasks] or BUILT_IN, self.solvers, self.steps
        freedom = freedom_of(get_action(self.action))
        compute_all(*wanted, file, self.seed, self.again, self.candidates, freedom)
