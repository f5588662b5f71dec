"""`art-gym train`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from .tasks import imported_task


@dataclass(frozen=True)
class Train:
    """Train an agent (or run a rival) and write its schedule, report and pictures.

    Attributes:
        env: registered id; my_module:ARTDiffusion-v0 imports my_module first, where a --task of your own is registered.
        algo: ppo, sac, art_rl, any SB3 or sb3-contrib class by name; without RL, cma, gradient or defect.
        seed: of everything random.
        task: another task than the id's; my_module:name imports my_module first, as in the id.
        solver: another solver than the id's.
        num_steps: K, or two numbers lo hi to train for a range of budgets.
        population: latents that one clock steers.
        reward: a name that `art-gym list` shows.
        action: a name that `art-gym list` shows.
        observation: groups that the agent sees.
        hyperparams: names and values that override the YAML, as in: learning_rate 1e-3 batch_size 8K use_sde true
            policy_kwargs.net_arch "[64, 64]".
        timesteps: environment steps, instead of the number in the YAML of hyperparameters; of defect, which plays no
            episodes, evaluations of the denoiser for each K.
        out: folder of the run; by default under runs/.
        resume: go on with an interrupted run in that folder.
        progress: show a progress bar.
    """

    env: str = "ARTDiffusion-v0"
    algo: str = "ppo"
    seed: int = 0
    task: str | None = None
    solver: str | None = None
    num_steps: int | tuple[int, int] | None = None
    population: int | None = None
    reward: str | None = None
    action: str | None = None
    observation: tuple[str, ...] | None = None
    hyperparams: dict[str, str] | None = None
    timesteps: int | None = None
    out: Path | None = None
    resume: bool = False
    progress: bool = True

    def run(self) -> None:
        """Train and report."""
        from ..jobs.train import train_and_report
        from ..runs.config import TrainConfig
        from ..runs.folder import Run

        keys = ("task", "solver", "num_steps", "population", "reward", "action", "observation")
        overrides = {key: getattr(self, key) for key in keys if getattr(self, key) is not None}
        env = self.env
        if self.task is not None:
            module, overrides["task"] = imported_task(self.task)
            if module and ":" not in env:
                env = f"{module}:{env}"  # in the run's configuration, so that its folder can be evaluated
            elif module and env.rpartition(":")[0] != module:
                raise ValueError(f"--env {env} and --task {self.task} name two modules: import one in the other")
        values = dict(self.hyperparams or {})
        config = TrainConfig(env, self.algo.lower(), self.seed, overrides, values, self.timesteps)
        folder = self.out or Path("runs") / f"{self.env}_{self.algo}_s{self.seed}"
        if self.resume and not Run(folder).has_results():
            print(f"art-gym: {folder} holds nothing to go on with: a new run begins there", file=sys.stderr)
        print(train_and_report(config, Run(folder), self.resume, self.progress))
        print(f"\nwritten to {folder}: report.md, the schedule files, TensorBoard logs")
