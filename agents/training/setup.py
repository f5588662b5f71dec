"""A run's configuration with every name and number resolved, and the model made from it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from gymnasium.spaces import flatdim
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecMonitor

from art_gym.common.limits import check_elements
from art_gym.common.messages import one_line, short
from art_gym.envs.actions.base import Wide, get_action
from art_gym.envs.actions.sampler import freedom_of
from art_gym.envs.config import EnvConfig
from art_gym.envs.sb3 import ARTDiffusionVecEnv
from art_gym.tasks.target import Target

from ..algorithms.base import algorithm_class
from ..runs.config import TrainConfig, config_name, reported_budgets
from ..runs.outcome import INSTANT
from .hyperparams import (
    as_objects,
    clock_buffer,
    load_hyperparams,
    overridden,
    resolve_numbers,
    warm_start_of,
)
from .instant_start import check_start
from .ranges import check_values
from .sampler_start import Fittable
from .warm_start import Startable, affordable_searches

SEARCHED = 0.75  # largest share of a run's evaluations for the samplers that it begins with


@dataclass(frozen=True)
class Setup:
    """A run's configuration with everything resolved."""

    config: TrainConfig
    env_config: EnvConfig
    env_overrides: dict[str, Any]  # of the training environment
    num_envs: int
    n_timesteps: int
    searches: int  # of the warm start of a schedule, which needs a fixed K; 0 for none
    start_evaluations: float  # for each K on average, of the warm start of a sampler; 0 for none
    instant: bool  # whether the warm start is instant schedules
    hyperparams: dict[str, Any]

    @classmethod
    def resolve(cls, config: TrainConfig, elsewhere: dict[str, Any] | None = None) -> Setup:
        """Merge the YAMLs and the overrides.

        Args:
            config: of the run.
            elsewhere: keys of the environment to change for a policy that is used elsewhere. Its recipe stays.

        Raises:
            ValueError: for unknown names, keys and values.
        """
        kind = algorithm_class(config.algo)
        smallest, largest = config.env_config().budgets
        values = load_hyperparams(config.algo, config.hyperparams_id, largest)
        config = replace(config, env={**config.env, **(elsewhere or {})})
        for key in config.hyperparams:
            if {"env", "training_env"} & set(key.split(".")):
                raise ValueError(f"{short(key)} is not a hyperparameter: set the environment's keys directly")
            if key in ("seed", "device", "tensorboard_log"):
                raise ValueError(
                    f"{short(key)} is not a hyperparameter: leave it out; the seed is an option of the run"
                )
        changes = resolve_numbers(config.hyperparams, largest)
        wanted = overridden(values, changes)
        check_values(wanted)
        n_timesteps = config.n_timesteps or wanted["n_timesteps"]
        warm, steers = warm_start_of(wanted), freedom_of(get_action(config.env_config().action)) is not None
        searches, start_evaluations = 0, 0.0
        if steers and largest > 1:
            played = n_timesteps * config.env_config(wanted.get("env")).population
            start_evaluations = min(warm.evaluations, SEARCHED * played / (largest - smallest + 1))
        many = config.env_config(wanted.get("env")).population > 1
        narrow = not isinstance(get_action(config.env_config().action), Wide)
        if warm.share and narrow and many and smallest == largest > 1:
            searches = affordable_searches(warm.share * n_timesteps / largest, largest, wanted["num_envs"])
        begun_by, begun = Startable if searches else Fittable, bool(searches or start_evaluations or warm.instant)
        if begun and not issubclass(kind, begun_by):
            *names, last = sorted(one.__name__.lower() for one in get_args(begun_by))
            raise ValueError(f"warm_start is for {', '.join(names)} and {last}, not for {config.algo}: leave it out")
        values = overridden(overridden(values, warm.changes), changes) if begun else wanted
        overrides = {**values.pop("env", {}), **config.env}
        env_config = config.env_config(overrides)
        if warm.instant and elsewhere is None:
            check_start(env_config)
        if clock := values.pop("training_env", None):
            # ART-RL trains in another environment than its schedule is for: solver, budget and action are the clock's.
            overrides = {**clock, **overrides, **{key: clock[key] for key in ("solver", "num_steps", "action")}}
        return cls(
            config=config,
            env_config=env_config,
            env_overrides=overrides,
            num_envs=values.pop("num_envs"),
            n_timesteps=n_timesteps,
            searches=searches,
            start_evaluations=start_evaluations,
            instant=warm.instant,
            hyperparams={key: value for key, value in values.items() if key not in ("n_timesteps", "warm_start")},
        )

    @cached_property
    def target(self) -> Target:
        """What to sample, and with which solver."""
        return self.env_config.target()

    @property
    def budgets(self) -> list[int]:
        """The K at which a run is evaluated and writes schedules."""
        return reported_budgets(self.env_config)

    @property
    def begun_by(self) -> str | None:
        """The search that the agent begins with; None without one."""
        if self.instant:
            return INSTANT
        return "Gauss-Newton" if self.start_evaluations else "CMA-ES" if self.searches else None

    @property
    def begun_with(self) -> str:
        """The size of that search, in words."""
        if self.start_evaluations:
            return f"{self.start_evaluations:,.0f} evaluations for each K"
        if self.instant:
            return "one probe for each model"
        return f"searches: {self.searches}" if self.searches else ""

    @property
    def resolved(self) -> dict[str, Any]:
        """All values except the environment's."""
        begun: dict[str, Any] = {}
        if self.searches:
            begun = {"warm_start": {"searches": self.searches}}
        if self.start_evaluations:
            begun = {"warm_start": {"evaluations": self.start_evaluations}}
        if self.instant:
            begun = {"warm_start": {"instant": True}}
        return {"num_envs": self.num_envs, "n_timesteps": self.n_timesteps, **self.hyperparams, **begun}

    def make_model(self, tensorboard: Path | None = None) -> BaseAlgorithm:
        """A fresh model on a fresh vector environment."""
        env = ARTDiffusionVecEnv(self.num_envs, config_name(self.config.env_id), **self.env_overrides)
        kind = algorithm_class(self.config.algo)
        rows = max(self.hyperparams.get("buffer_size", 0), self.num_envs * self.hyperparams.get("n_steps", 0))
        check_elements("the buffer of n_steps or buffer_size", rows, flatdim(env.observation_space))
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
        except Exception as error:  # for names and values that the algorithm does not take, it can raise anything
            said = one_line(error, 200) or type(error).__name__
            names = [name for name in inspect.signature(kind).parameters if name not in ("env", "seed", "device")]
            known = f"; it takes {', '.join(names)}" if "unexpected keyword argument" in said else ""
            raise ValueError(f"{self.config.algo} cannot be made like this: {said}{known}") from None
