"""Progress of training: evaluation on validation noise, the best model, checkpoints."""

from __future__ import annotations

import time
from typing import NoReturn

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from art_gym.common.files import replacing
from art_gym.evaluation.heldout import HELDOUT_BANK, VALIDATION, VALIDATION_NOISES

from ..runs.folder import Point, Run
from .checkpoint import save_model
from .policies import evaluator
from .setup import Setup
from .tracking import Tracker

EVALUATIONS = 40  # per run, evenly spread; half as many if each covers several budgets


class Bar(BaseCallback):
    """Moves a progress bar to the number of environment steps so far."""

    def __init__(self, bar: tqdm[NoReturn]) -> None:
        super().__init__()
        self.bar = bar

    def _on_step(self) -> bool:
        self.bar.update(self.num_timesteps - self.bar.n)
        return True


class Progress(BaseCallback):
    """Evaluates on validation noise, keeps the best model, logs and saves checkpoints, forty or twenty times a run.

    Validation noise is separate from training noise and from the noise for the reported results. Choosing the best
    model on the latter would flatter it.
    """

    def __init__(self, setup: Setup, run: Run) -> None:
        super().__init__()
        self.setup, self.run = setup, run
        self.points = run.history()
        evaluations = EVALUATIONS if len(setup.budgets) == 1 else EVALUATIONS // 2
        self.interval = max(setup.n_timesteps // evaluations, 1)
        # A distance between distributions needs all of them.
        judged = getattr(setup.target.denoiser, "quality", None) is not None
        self.noises = HELDOUT_BANK - VALIDATION if judged else VALIDATION_NOISES
        self.tracker = Tracker(setup.target, setup.env_config, setup.budgets)
        self.spent_before = (self.points[-1].seconds, self.points[-1].evaluations) if self.points else (0.0, 0)
        self.began, self.paused = time.perf_counter(), 0.0  # starts here, so that a warm start counts

    def _on_training_start(self) -> None:
        self.due = self.interval * (1 + self.model.num_timesteps // self.interval)
        self.tracker.record_hyperparams(self.logger, self.setup.config, self.setup.resolved)
        if self.model.num_timesteps and not self.points:  # the result of a warm start
            with replacing(self.run.folder / "start.pt") as file:
                save_model(self.model, file, with_buffer=False)
            self._evaluate()

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.due:
            self.due += self.interval
            self._evaluate()
        return True

    def _on_training_end(self) -> None:
        self.finish()

    def finish(self) -> None:
        """Save the present state, with an evaluation that records its cost."""
        if not self.points or self.points[-1].steps < self.num_timesteps:
            self._evaluate()  # saves too
        else:
            self.save()

    def save(self) -> None:
        """Write the checkpoint and the history."""
        with replacing(self.run.folder / "checkpoint.pt") as file:
            save_model(self.model, file, with_buffer=True)
        self.run.write_history(self.points)

    def _evaluate(self) -> None:
        pause = time.perf_counter()
        evaluate = evaluator(self.setup, self.model)
        found = {k: evaluate(k, self.noises, VALIDATION, distances=False) for k in self.setup.budgets}
        denoise = self.training_env.get_attr("core")[0].problem.denoise
        point = Point(
            steps=self.num_timesteps,
            evaluations=self.spent_before[1] + denoise.evaluations,
            seconds=self.spent_before[0] + pause - self.began - self.paused,
            errors={k: evaluation.loss for k, evaluation in found.items()},
        )
        if not self.points or _loss(point) < min(_loss(other) for other in self.points):
            with replacing(self.run.folder / "best.pt") as file:
                save_model(self.model, file, with_buffer=False)
        self.points.append(point)
        for k, evaluation in found.items():
            self.tracker.record(self.logger, k, evaluation)
        self.logger.dump(self.num_timesteps)
        self.save()
        self.paused += time.perf_counter() - pause


def _loss(point: Point) -> float:
    """The criterion for the best model: the mean of log errors over the budgets."""
    return float(np.mean(np.log(list(point.errors.values()))))
