"""`art-gym train`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from .tasks import imported_task


@dataclass(frozen=True)
class Train:
    """Train an agent, or run a search, and write its schedules or samplers, report and pictures.

    Attributes:
        env: registered id. my_module:ARTDiffusion-v0 first imports my_module, which registers a --task of your own.
        algo: ppo, sac, art_rl, or any SB3 or sb3-contrib class by name. Searches without RL are cma, gradient, defect.
        seed: seed of everything random.
        task: use this task instead of the id's. my_module:name imports my_module first, as in --env.
        solver: use this solver instead of the id's.
        num_steps: number of steps K, or two numbers lo hi to train for a range.
        population: number of latents that one clock steers.
        reward: a name that `art-gym list` shows.
        action: a name that `art-gym list` shows. sampler, weights and told_weights find samplers.
        observation: groups that the agent sees.
        hyperparams: names and values that override the YAML, such as learning_rate 1e-3 batch_size 8K use_sde true
            policy_kwargs.net_arch "[64, 64]".
        timesteps: environment steps, instead of the number in the YAML of hyperparameters. For defect, which plays no
            episodes, it is denoiser evaluations for each K.
        out: folder of the run, by default under runs/.
        resume: continue an interrupted run in that folder, with its own options if none but --out is given.
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
                env = f"{module}:{env}"  # the run's configuration keeps it, so that you can evaluate the folder
            elif module and env.rpartition(":")[0] != module:
                raise ValueError(f"--env {env} and --task {self.task} name two modules: import one in the other")
        values = dict(self.hyperparams or {})
        config = TrainConfig(env, self.algo.lower(), self.seed, overrides, values, self.timesteps)
        folder = self.out or Path("runs") / f"{self.env}_{self.algo}_s{self.seed}"
        run = Run(folder)
        if self.resume and not run.has_results():
            print(f"art-gym: {folder} holds no run to continue: a new run begins there", file=sys.stderr)
        elif self.resume and config == TrainConfig():
            config = run.config()
        print(train_and_report(config, run, self.resume, self.progress))
        print(f"\nwritten to {folder}: report.md, the schedule or sampler files, TensorBoard logs")
