"""Training with stable-baselines3: from a configuration to a run's folder with a schedule in it."""

from __future__ import annotations

import inspect
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor
from tqdm import tqdm

from art_gym import core
from art_gym.adaptive import AdaptivePolicy
from art_gym.config import EnvConfig
from art_gym.episodes import checked_budgets
from art_gym.evaluation import (
    HELDOUT,
    VALIDATION,
    VALIDATION_NOISES,
    Evaluation,
    Policy,
    evaluate_levels,
    evaluate_policy,
)
from art_gym.files import replacing
from art_gym.isolation import isolated
from art_gym.observations import Observed, lanes
from art_gym.sb3 import ARTDiffusionVecEnv
from art_gym.schedules.schedule import Schedule
from art_gym.tasks import resolve

from .checkpoint import load_model, save_model
from .continuous_time import ARTRL
from .divergence import Diverged, divergence_named
from .hyperparams import (
    algorithm_class,
    as_objects,
    check_counts,
    clock_buffer,
    load_hyperparams,
    overridden,
    resolve_numbers,
    warm_start_of,
)
from .outcome import Outcome
from .runs import RIVALS, Point, Run, TrainConfig, config_name, name_of, reported_budgets
from .tracking import Tracker
from .warm_start import Startable, affordable_searches, warm_start

EVALUATIONS = 40  # of progress, evenly over a run; half as many where each is of several budgets


@dataclass(frozen=True)
class Setup:
    """A run's configuration with everything resolved."""

    config: TrainConfig
    env_config: EnvConfig
    env_overrides: dict[str, Any]  # of the environment that is trained on
    num_envs: int
    n_timesteps: int
    searches: int  # of the warm start, which there is where K is fixed; 0 for none
    hyperparams: dict[str, Any]

    @classmethod
    def resolve(cls, config: TrainConfig) -> Setup:
        """Merge the YAMLs and the overrides. Raises a ValueError for unknown names, keys and values."""
        kind = algorithm_class(config.algo)
        smallest, largest = config.env_config().budgets
        values = load_hyperparams(config.algo, config.hyperparams_id, largest)
        for key in config.hyperparams:
            if {"env", "training_env"} & set(key.split(".")):
                raise ValueError(f"{key!r} is no hyperparameter: give the environment's keys themselves")
            if key in ("seed", "device", "tensorboard_log"):
                raise ValueError(f"{key!r} is no hyperparameter: every run has its own, and the seed is set by itself")
        changes = resolve_numbers(config.hyperparams, largest)
        wanted = overridden(values, changes)
        check_counts(wanted)
        n_timesteps = config.n_timesteps or wanted["n_timesteps"]
        share, once_warm = warm_start_of(wanted)
        searches = 0
        if share and smallest == largest > 1 and config.env_config(wanted.get("env")).population > 1:
            if not issubclass(kind, Startable):
                raise ValueError(f"warm_start is for ppo, a2c and sac, not for {config.algo}: leave it out")
            searches = affordable_searches(share * n_timesteps / largest, largest, wanted["num_envs"])
        values = overridden(overridden(values, once_warm), changes) if searches else wanted
        overrides = {**values.pop("env", {}), **config.env}
        env_config = config.env_config(overrides)
        if clock := values.pop("training_env", None):
            # What ART-RL trains on is not what its schedule is for: solver, budget and action are the clock's.
            overrides = {**clock, **overrides, **{key: clock[key] for key in ("solver", "num_steps", "action")}}
        return cls(
            config=config,
            env_config=env_config,
            env_overrides=overrides,
            num_envs=values.pop("num_envs"),
            n_timesteps=n_timesteps,
            searches=searches,
            hyperparams={key: value for key, value in values.items() if key not in ("n_timesteps", "warm_start")},
        )

    @property
    def budgets(self) -> list[int]:
        """The K at which progress is evaluated and schedules are written."""
        return reported_budgets(self.env_config)

    @property
    def resolved(self) -> dict[str, Any]:
        """All values but the environment's."""
        begun = {"warm_start": {"searches": self.searches}} if self.searches else {}
        return {"num_envs": self.num_envs, "n_timesteps": self.n_timesteps, **self.hyperparams, **begun}

    def make_model(self, tensorboard: Path | None = None) -> BaseAlgorithm:
        """A fresh model on a fresh vector environment."""
        env = ARTDiffusionVecEnv(self.num_envs, config_name(self.config.env_id), **self.env_overrides)
        kind = algorithm_class(self.config.algo)
        hyperparams = as_objects(self.hyperparams)
        if (rate := hyperparams.pop("clock_discount", None)) is not None:
            hyperparams = overridden(hyperparams, clock_buffer(kind, rate))
        try:
            return kind(
                env=VecMonitor(env),
                seed=self.config.seed,
                device="cpu",  # the networks are tiny
                tensorboard_log=None if tensorboard is None else str(tensorboard),
                **hyperparams,
            )
        except (TypeError, ValueError, AssertionError, ZeroDivisionError, RuntimeError) as error:
            # names and values that the algorithm does not take
            said = " ".join(str(error).split())
            names = [name for name in inspect.signature(kind).parameters if name not in ("env", "seed", "device")]
            known = f"; it takes {', '.join(names)}" if "unexpected keyword argument" in said else ""
            raise ValueError(f"{self.config.algo} cannot be made like this: {said}{known}") from None


@isolated()
def train(config: TrainConfig, run: Run, resume: bool = False, progress: bool = True) -> Outcome:
    """Train an SB3 agent; the run's folder then holds its schedule files, the best model and the history.

    Args:
        config: what to train.
        run: where to.
        resume: go on from the last checkpoint, if there is one.
        progress: show a progress bar.

    Raises:
        ValueError: for a configuration that does not fit, a folder in use, or training that diverges.
        KeyboardInterrupt: after the state has been saved, if training has begun.
    """
    torch.set_num_threads(1)  # the networks are tiny: on a busy machine, more threads only wait for each other
    setup = Setup.resolve(config)
    if issubclass(algorithm_class(config.algo), ARTRL) and "action" in config.env:
        raise ValueError(f"{config.algo} steers a clock of its own, and has no use for action: leave it out")
    if setup.env_config.population > HELDOUT:  # whose noises would be those that the best model is chosen on, too
        raise ValueError(
            f"population is {setup.env_config.population}, and results are reported on {HELDOUT} noises: choose at "
            f"most that many"
        )
    model = setup.make_model(run.tensorboard)  # what does not fit is said before the folder is in use
    run.prepare(config, {"env": setup.env_config.to_dict(), **setup.resolved}, resume)
    checkpoint = run.folder / "checkpoint.pt"
    if resume and checkpoint.exists():
        load_model(model, checkpoint)
        # The random streams of the first part are not replayed: go on with fresh ones, as repeatably.
        model.set_random_seed((config.seed + model.num_timesteps) % 2**32)
    bank = setup.env_config.make_core().problem.bank  # the environment's
    bank.ensure(bank.size)  # before the clock starts, as for the rivals
    callback = Progress(setup, run)
    if setup.searches and not model.num_timesteps:
        assert isinstance(model, Startable)
        warm_start(model, setup.budgets[0], setup.searches, config.seed, progress)
    remaining = setup.n_timesteps - model.num_timesteps
    if remaining > 0:
        bar = tqdm(
            total=setup.n_timesteps, initial=model.num_timesteps, desc=config.algo, unit=" steps", disable=not progress
        )
        try:
            with bar, divergence_named(model):
                model.learn(remaining, [callback, Bar(bar)], reset_num_timesteps=False, tb_log_name="run")
        except KeyboardInterrupt:
            if callback.points:  # before the first one only the search is lost, and played again
                callback.save()  # at once: who is in a hurry may not wait for the evaluation that follows
                callback.finish()
            raise
        except (TypeError, AttributeError) as error:  # of a value that the algorithm uses only now
            through = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)}
            if not config.hyperparams or core.__file__ in through:  # of a part of one's own
                raise
            raise ValueError(f"{config.algo} cannot be trained with {config.hyperparams}: {error}") from error
        except Diverged as error:
            kept = f"the best policy so far is kept in {run.folder}" if callback.points else "nothing was saved yet"
            raise ValueError(
                f"{error}: lower learning_rate or scale the reward down, and look for NaN in the hyperparameters; "
                f"{kept}"
            ) from None
    as_start = None
    if (started := run.folder / "start.pt").exists():
        load_model(model, started)
        as_start = {k: evaluator(setup, model)(k) for k in setup.budgets}
    load_model(model, run.folder / "best.pt")
    return replace(make_outcome(setup, evaluator(setup, model), run.history()[-1]), as_start=as_start)


class ModelPolicy:
    """A model's deterministic policy; a recurrent one carries its state from call to call, until `begin`."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self.network = model.policy  # which pickles, without the environment
        self.begin()

    def begin(self) -> None:
        """Forget: the next call is the first of a rollout, with as many lanes as it has."""
        self.memory: Any = None
        self.first = True

    def __call__(self, observation: Observed) -> np.ndarray:
        first, self.first = np.full(lanes(observation), self.first), False
        action, self.memory = self.network.predict(observation, self.memory, first, deterministic=True)
        return action


def policy_of(model: BaseAlgorithm) -> Policy:
    """The model's deterministic policy, which `art_gym.evaluation.follow` begins afresh for each rollout."""
    return ModelPolicy(model)


@isolated()
def load_evaluator(run: Run, task: str | None = None, solver: str | None = None) -> tuple[Setup, Evaluator]:
    """The best policy of a finished or interrupted run, to be evaluated, on another task or solver where named.

    Raises:
        ValueError: where there is none, or the policy does not fit.
    """
    changes = {key: value for key, value in (("task", task), ("solver", solver)) if value is not None}
    setup, model = _best_of(run, changes)
    return setup, evaluator(setup, model)


@isolated()
def load_policy(folder: str | Path, num_steps: int) -> AdaptivePolicy:
    """The best policy of a run, for `art_gym.sample`, as often as one likes: one with a memory begins afresh each time.

    Args:
        folder: of the run.
        num_steps: K, of those that it was trained for.

    Raises:
        ValueError: where there is none, as in a rival's run, for a K that it does not know, or for ART-RL, whose clock
            steers no sampler.
    """
    setup, model = _best_of(Run(folder), {})
    if isinstance(model, ARTRL):
        raise ValueError(f"what {folder} has learned is a clock: sample with its schedule file instead")
    checked_budgets(num_steps, setup.env_config.budgets, f"num_steps of the policy in {folder}")
    return AdaptivePolicy(policy_of(model), setup.env_config, num_steps)


def _best_of(run: Run, changes: dict[str, Any]) -> tuple[Setup, BaseAlgorithm]:
    config = run.config()
    if config.algo in RIVALS:
        files = sorted(str(file) for file in run.folder.glob("schedule_K*.json"))
        raise ValueError(
            f"{config.algo}, whose run {run.folder} is, finds schedules and has no policy: Schedule.load one of "
            f"{', '.join(files) or 'those that --resume will write'}"
        )
    setup = Setup.resolve(replace(config, env={**config.env, **changes}))
    model = setup.make_model()
    load_model(model, run.folder / "best.pt")
    return setup, model


class Evaluator(Protocol):
    """Evaluates a policy with K steps on ``count`` held-out noises from row ``first`` on."""

    def __call__(self, num_steps: int, count: int = HELDOUT, first: int = 0, distances: bool = True) -> Evaluation: ...


def evaluator(setup: Setup, model: BaseAlgorithm) -> Evaluator:
    """How a model is evaluated: ART-RL by the grid that its clock is distilled to, others by running the policy."""
    config = setup.env_config

    def evaluate(num_steps: int, count: int = HELDOUT, first: int = 0, distances: bool = True) -> Evaluation:
        if isinstance(model, ARTRL):
            levels = model.levels(num_steps)
            return evaluate_levels(resolve(config.task), config.solver, levels, count, first, distances)
        return evaluate_policy(policy_of(model), config, num_steps, count, first, distances)

    return evaluate


def make_outcome(setup: Setup, evaluate: Evaluator, last: Point) -> Outcome:
    """Evaluate a policy on held-out noise both ways: as it is, and distilled to its mean grid."""
    config = setup.env_config
    task, solver = name_of(config.task), name_of(config.solver)
    schedules, as_grid, as_policy = {}, {}, {}
    for num_steps in setup.budgets:
        as_policy[num_steps] = evaluate(num_steps)
        levels = as_policy[num_steps].levels
        as_grid[num_steps] = evaluate_levels(resolve(config.task), config.solver, levels)
        schedules[num_steps] = Schedule(
            sigmas=tuple(levels),
            method=f"{setup.config.algo}, begun by CMA-ES" if setup.searches else setup.config.algo,
            task=task,
            solver=solver,
            seed=setup.config.seed,
            heldout_error=as_grid[num_steps].error,
            flow=getattr(resolve(config.task), "flow", False),
        )
    return Outcome(
        setup.config.algo,
        task,
        solver,
        schedules,
        as_grid,
        as_policy,
        evaluations=last.evaluations,
        seconds=last.seconds,
        searches=setup.searches,
    )


class Bar(BaseCallback):
    """Moves a progress bar to the number of environment steps so far."""

    def __init__(self, bar: tqdm) -> None:
        super().__init__()
        self.bar = bar

    def _on_step(self) -> bool:
        self.bar.update(self.num_timesteps - self.bar.n)
        return True


class Progress(BaseCallback):
    """Evaluates on validation noise, keeps the best model, logs, and checkpoints: some forty times a run, or twenty.

    Validation noise is held out from training, and apart from the noise on which results are reported: choosing the
    best model on the latter would flatter it.
    """

    def __init__(self, setup: Setup, run: Run) -> None:
        super().__init__()
        self.setup, self.run = setup, run
        self.points = run.history()
        evaluations = EVALUATIONS if len(setup.budgets) == 1 else EVALUATIONS // 2
        self.interval = max(setup.n_timesteps // evaluations, 1)
        self.tracker = Tracker(setup.env_config, setup.budgets)
        self.spent_before = (self.points[-1].seconds, self.points[-1].evaluations) if self.points else (0.0, 0)
        self.began, self.paused = time.perf_counter(), 0.0  # from here on a warm start counts

    def _on_training_start(self) -> None:
        self.due = self.interval * (1 + self.model.num_timesteps // self.interval)
        self.tracker.record_hyperparams(self.logger, self.setup.config, self.setup.resolved)
        if self.model.num_timesteps and not self.points:  # what the warm start has found
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
        """Save the present state, with an evaluation that tells what it has cost."""
        if not self.points or self.points[-1].steps < self.num_timesteps:
            self._evaluate()  # which saves
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
        found = {k: evaluate(k, VALIDATION_NOISES, VALIDATION, distances=False) for k in self.setup.budgets}
        denoise = self.training_env.get_attr("core")[0].problem.denoise
        point = Point(
            steps=self.num_timesteps,
            evaluations=self.spent_before[1] + denoise.evaluations,
            seconds=self.spent_before[0] + pause - self.began - self.paused,
            errors={k: evaluation.error for k, evaluation in found.items()},
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
    """What the best model is best at: the mean of log errors over the budgets."""
    return float(np.mean(np.log(list(point.errors.values()))))
