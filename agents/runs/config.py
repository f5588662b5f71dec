"""The configuration of a run, and the lookup of the names in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from art_gym.common.limits import check_whole
from art_gym.common.messages import short
from art_gym.common.parts import check_stored, import_module, unnamed
from art_gym.envs.actions.base import ACTIONS, get_action
from art_gym.envs.actions.sampler import freedom_of
from art_gym.envs.config import EnvConfig, load_config
from art_gym.envs.ids import DEFAULT, configurations, task_of
from art_gym.envs.rewards.base import REWARDS

MAX_TIMESTEPS = 10**12
SAMPLER = "_sampler"  # suffix of configurations whose actions choose all of a step, which have their own recipes
TABLE_BUDGETS = (5, 7, 10, 18)  # the K inside a range of budgets at which a method is evaluated


def reported_budgets(config: EnvConfig) -> list[int]:
    """The K at which a run is evaluated and writes schedules: both ends of its range, `TABLE_BUDGETS` between them."""
    low, high = config.budgets
    return sorted({low, *(k for k in TABLE_BUDGETS if low < k < high), high})


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of a training run, enough to repeat it.

    Attributes:
        env_id: a registered id, or the name of a configuration in envs_configs. "module:id" imports that module first,
            as `gym.make` does. The module may register a task.
        algo: ppo, sac, art_rl, or the name of any class of stable-baselines3 or sb3-contrib. Use cma, gradient or
            defect for a fixed grid.
        seed: of the algorithm, the environments and the networks.
        env: keys of `EnvConfig`. They override the configuration, and "env" in the hyperparameters.
        hyperparams: values that override the YAML. "policy_kwargs.log_std_init" reaches into a dictionary.
        n_timesteps: environment steps; from the YAML by default.
    """

    env_id: str = "ARTDiffusion-v0"
    algo: str = "ppo"
    seed: int = 0
    env: dict[str, Any] = field(default_factory=dict)
    hyperparams: dict[str, Any] = field(default_factory=dict)
    n_timesteps: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.seed, np.integer):
            object.__setattr__(self, "seed", int(self.seed))
        for name, kind in (("env_id", str), ("algo", str), ("seed", int), ("env", dict), ("hyperparams", dict)):
            if not isinstance(value := getattr(self, name), kind) or isinstance(value, bool):
                raise ValueError(f"{name} must be of type {kind.__name__}, got {short(value)}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"a seed is a whole number from 0 to {2**32 - 1}, got {short(self.seed)}")
        if self.n_timesteps is not None:
            check_whole("the number of environment steps", self.n_timesteps, 1, MAX_TIMESTEPS)
        for name in ("env", "hyperparams"):
            if bad := [key for key in getattr(self, name) if not isinstance(key, str)]:
                raise ValueError(f"the keys of {name} must be text, got {short(bad[0])}")

    def env_config(self, overrides: dict[str, Any] | None = None) -> EnvConfig:
        """The environment's configuration: the id's YAML, changed by the algorithm's and then the user's overrides."""
        return load_config(config_name(self.env_id), **{**(overrides or {}), **self.env})

    @property
    def hyperparams_id(self) -> str | None:
        """The id to look up hyperparameters by: the task's if it has one, else the environment's."""
        own, task = config_name(self.env_id), self.env.get("task")
        variant = own.removeprefix(task_of(own) or own)  # such as "_per_sample"
        if freedom_of(get_action(self.env_config().action)) is not None:
            variant = SAMPLER
        task = task.partition("?")[0] if isinstance(task, str) else task_of(own)
        return id_of(f"{task}{variant}") or id_of(f"{DEFAULT}{variant}" if variant == SAMPLER else own)


def check_names(config: TrainConfig, modules: Collection[str]) -> None:
    """Check the names in a configuration that was read from a file.

    Args:
        config: it.
        modules: modules of the user's own that it may name.

    Raises:
        ValueError: if it names any other module than those, and those of our own parts.
    """
    named = [config.env_id.rpartition(":")[0], *_module_of(config.env.get("task"))]
    for module in filter(None, named):
        if module not in modules:
            raise unnamed(module)
    for key, known in (("action", ACTIONS), ("reward", REWARDS)):
        if isinstance(text := config.env.get(key), str):
            check_stored(text, known, modules)


def _module_of(task: Any) -> list[str]:
    name = task.partition("?")[0] if isinstance(task, str) else ""
    return [name.rpartition(":")[0]] if ":" in name else []


def config_name(env_id: str) -> str:
    """The configuration behind a registered id. Raises a ValueError for an unknown id or a missing module."""
    _, env_id = imported(env_id)
    known = configurations()
    if env_id in known:
        return known[env_id]
    if env_id in known.values():
        return env_id
    raise ValueError(f"unknown environment {short(env_id)}: choose one of {', '.join(known)}")


def imported(name: str) -> tuple[str, str]:
    """Import the module of "module:name" and return both parts; without a module, the first part is empty.

    Use it for names that a user types. Names in files are data, and must not import anything (`check_names`).

    Raises:
        ValueError: if the module cannot be imported, or is a file name.
    """
    module, _, name = name.rpartition(":")
    if module:
        import_module(module, name)
    return module, name


def id_of(task: Any) -> str | None:
    """The registered id of a built-in task by name, with any options; None for a task of your own."""
    ids = {config: key for key, config in configurations().items()}
    return ids.get(task.partition("?")[0]) if isinstance(task, str) else None
