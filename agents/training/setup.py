"""A run's configuration with every name and number resolved, and the model made from it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecMonitor

from art_gym.envs.config import EnvConfig
from art_gym.envs.sb3 import ARTDiffusionVecEnv
from art_gym.tasks.target import Target

from ..algorithms.base import algorithm_class
from ..runs.config import TrainConfig, config_name, reported_budgets
from .hyperparams import (
    as_objects,
    check_counts,
    clock_buffer,
    load_hyperparams,
    overridden,
    resolve_numbers,
    warm_start_of,
)
from .warm_start import Startable, affordable_searches


@dataclass(frozen=True)
class Setup:
    """A run's configuration with everything resolved."""

    config: TrainConfig
    env_config: EnvConfig
    env_overrides: dict[str, Any]  # of the training environment
    num_envs: int
    n_timesteps: int
    searches: int  # of the warm start, which needs a fixed K; 0 for none
    hyperparams: dict[str, Any]

    @classmethod
    def resolve(cls, config: TrainConfig) -> Setup:
        """Merge the YAMLs and the overrides. Raises a ValueError for unknown names, keys and values."""
        kind = algorithm_class(config.algo)
        smallest, largest = config.env_config().budgets
        values = load_hyperparams(config.algo, config.hyperparams_id, largest)
        for key in config.hyperparams:
            if {"env", "training_env"} & set(key.split(".")):
                raise ValueError(f"{key!r} is not a hyperparameter: set the environment's keys directly")
            if key in ("seed", "device", "tensorboard_log"):
                raise ValueError(f"{key!r} is not a hyperparameter: leave it out; the seed is an option of the run")
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
            # ART-RL trains in another environment than its schedule is for: solver, budget and action are the clock's.
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

    @cached_property
    def target(self) -> Target:
        """What to sample, and with which solver."""
        return self.env_config.target()

    @property
    def budgets(self) -> list[int]:
        """The K at which a run is evaluated and writes schedules."""
        return reported_budgets(self.env_config)

    @property
    def resolved(self) -> dict[str, Any]:
        """All values except the environment's."""
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
