"""Searches as the rivals of an agent: a fixed grid or sampler for each K, by a search of `art_gym.search`.

They see only the training noises, in batches drawn from the seed. They count every denoiser evaluation, and keep the
best grid on validation noise, as an agent keeps its best policy. So you can compare their cost and result with an
agent's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from stable_baselines3.common.logger import configure
from tqdm import tqdm

from art_gym.common.isolation import isolated
from art_gym.common.messages import short
from art_gym.denoisers.base import Counted
from art_gym.envs.actions.base import get_action
from art_gym.envs.actions.guidance import GuidanceMap
from art_gym.envs.actions.sampler import freedom_of
from art_gym.envs.config import EnvConfig, load_config
from art_gym.evaluation.heldout import VALIDATION, VALIDATION_NOISES, evaluate_plan
from art_gym.samplers.plans import Document, Plan, document, load
from art_gym.search.base import SEARCHES, Sought
from art_gym.tasks.noise_bank import get_bank

from ..runs.config import TrainConfig, config_name, reported_budgets
from ..runs.folder import Point, Run
from ..runs.outcome import Outcome, plan_file, plan_files
from .tracking import Tracker

OF_EPISODES = ("population", "reward", "observation", "raw_latents")


@isolated()
def train_search(config: TrainConfig, run: Run, resume: bool = False, progress: bool = True) -> Outcome:
    """Find a fixed grid for each budget of the environment by a registered search; a sampler where actions choose one.

    It writes each plan as soon as it finds it. A resumed run searches only for the missing ones.

    Raises:
        ValueError: for a configuration that does not fit, or a folder in use.
    """
    env_config = _checked(config)
    run.prepare(config, {"env": env_config.to_dict()}, resume)
    watched = _Watched(config, env_config, run, progress)
    plans: dict[int, Document] = {}
    as_grid = {}
    known = {plan.num_steps: plan for plan in map(load, plan_files(run.folder))}  # of an earlier part of the run
    for num_steps in watched.budgets:
        plan = known[num_steps] if num_steps in known else watched.search(num_steps)
        with watched.clock.stopped():
            as_grid[num_steps] = evaluate_plan(watched.target, plan)
            plans[num_steps] = document(
                plan,
                config.algo,
                task=watched.target.task,
                solver=watched.target.solver.name,
                seed=config.seed,
                heldout_error=as_grid[num_steps].error,
                flow=watched.target.flow,
            )
            run.write_history(watched.points)
            plans[num_steps].save(plan_file(run.folder, plans[num_steps]))
    watched.logger.close()
    return Outcome(
        config.algo,
        watched.target.task,
        watched.target.solver.name,
        plans,
        as_grid,
        None,
        evaluations=watched.evaluations,
        seconds=watched.clock.seconds,
    )


def _checked(config: TrainConfig) -> EnvConfig:
    """The environment's configuration. Raises a ValueError for settings that a search does not use."""
    if config.hyperparams:
        raise ValueError(
            f"{config.algo} has no hyperparameters to set, got {', '.join(config.hyperparams)}: "
            f"only its number of steps can be changed (timesteps)"
        )
    env_config = config.env_config()
    usual = load_config(config_name(config.env_id))
    if isinstance(get_action(env_config.action), GuidanceMap):
        raise ValueError(
            f"{config.algo} searches grids by their endpoints, and no endpoint is right where guidance is chosen: "
            f"train an agent such as ppo, or see art-gym reproduce guidance for CMA-ES"
        )
    if freedom_of(get_action(env_config.action)) is None and "action" in config.env:
        raise ValueError(
            f"{config.algo} plays no episodes and does not use action={short(env_config.action)}: leave it out, or "
            f"choose a sampler's actions, whose freedom it searches"
        )
    ignored = [key for key in OF_EPISODES if key in config.env and getattr(env_config, key) != getattr(usual, key)]
    if ignored:
        raise ValueError(f"{config.algo} plays no episodes and does not use {', '.join(ignored)}: leave that out")
    return env_config


class _Clock:
    """A stopwatch that starts with the seconds of an earlier part of the run."""

    def __init__(self, before: float) -> None:
        self.before, self.began, self.left_out = before, time.perf_counter(), 0.0

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began - self.left_out

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Time in this context does not count."""
        since = time.perf_counter()
        yield
        self.left_out += time.perf_counter() - since


class _Watched:
    """A search that evaluates its candidates on validation noise, logs them and keeps the best."""

    def __init__(self, config: TrainConfig, env_config: EnvConfig, run: Run, progress: bool) -> None:
        self.config, self.progress = config, progress
        self.target, self.budgets = env_config.target(), reported_budgets(env_config)
        self.counted = Counted(self.target.denoiser)
        self.bank = get_bank(self.target.denoiser, "train", env_config.noises)
        self.bank.ensure(self.bank.size)
        self.tracker = Tracker(self.target, env_config, self.budgets)
        self.logger = configure(str(run.tensorboard / "run_1"), ["tensorboard"])
        values = {} if config.n_timesteps is None else {"n_timesteps": config.n_timesteps}
        self.tracker.record_hyperparams(self.logger, config, values)
        self.logger.dump(0)
        self.points = run.history()
        self.spent = self.points[-1].evaluations if self.points else 0
        self.clock = _Clock(self.points[-1].seconds if self.points else 0.0)

    @property
    def evaluations(self) -> int:
        """Denoiser evaluations, including earlier parts of the run."""
        return self.spent + self.counted.evaluations

    def search(self, num_steps: int) -> Plan:
        """The best candidate."""
        best: Plan = np.array([self.target.denoiser.sigma_max, 0.0])
        least = np.inf
        if num_steps == 1:
            return best
        noises, config = (self.bank.start, self.bank.endpoints), self.config
        sought = Sought(
            self.counted, self.target.solver, num_steps, *noises, config.seed, config.n_timesteps, self.target.freedom
        )
        found = SEARCHES[self.config.algo](sought)
        for episodes, tried in tqdm(found, desc=f"{self.config.algo} K={num_steps}", disable=not self.progress):
            with self.clock.stopped():
                seconds, steps = self.clock.seconds, episodes * num_steps
                evaluation = evaluate_plan(self.target, tried, VALIDATION_NOISES, VALIDATION, distances=False)
                if evaluation.error < least:
                    best, least = tried, evaluation.error
                self.points.append(Point(steps, self.evaluations, seconds, {num_steps: evaluation.error}))
                self.tracker.record(self.logger, num_steps, evaluation)
                self.logger.dump(steps)
        return best
