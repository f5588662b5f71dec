"""The spec of an environment: its horizon, the reward that counts as solved, and its arguments as text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from art_gym.envs.config import EnvConfig
from art_gym.solvers.base import SOLVERS
from art_gym.tasks.references import find_reference

SOLVED = 0.95  # share of the oracle's gain over EDM's grid
REMEDIES = {
    "task": "art_gym.register_task('name', it) and pass task='name'",
    "solver": f"name one of {', '.join(SOLVERS)}",
}
REMEDY = "give a function, or a frozen dataclass of numbers and text, that can be imported by name"


def completed(spec: EnvSpec, config: EnvConfig) -> EnvSpec:
    """Complete a spec from the configuration, so that ``EnvSpec.from_json(spec.to_json())`` makes the same environment.

    Args:
        spec: as `gym.make` or `gym.make_vec` has made it.
        config: of the environment.

    Raises:
        ValueError: for a part that has no text. The message says how to pass it.
    """
    known = config.to_dict()
    given = {k: v if isinstance(v, str) else getattr(config, k, v) for k, v in spec.kwargs.items()}
    if "observation" in given:
        given["raw_latents"] = known["raw_latents"]  # an Observation sets both
    for key, value in given.items():
        if key in known and not isinstance(value, str | int | tuple):
            raise ValueError(
                f"gym.make stores the arguments of an environment as text, and {key}={known[key]:.60} has no text: "
                f"{REMEDIES.get(key, REMEDY)}; or do without gym.make: art_gym.envs.env.ARTDiffusionEnv({key}=...), "
                f"or art_gym.envs.vector_env.ARTDiffusionVectorEnv"
            )
    return replace(
        spec,
        kwargs={key: _plain(value) for key, value in given.items()},
        max_episode_steps=spec.max_episode_steps or spec.kwargs.get("max_episode_steps") or config.budgets[1],
        reward_threshold=threshold(config),
    )


def _plain(value: Any) -> Any:
    """The value in a type that JSON has."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    return value.item() if isinstance(value, np.generic) else value


def threshold(config: EnvConfig) -> float | None:
    """The return at 0.95 of the gain of the best fixed grid, or of the best sampler where actions choose samplers.

    None for a range of K, for a reward that is not log_ratio or linear, or without a stored reference.
    """
    low, high = config.budgets
    rewards: dict[str, Callable[[float], float]] = {
        "log_ratio": lambda gain: gain,
        "linear": lambda gain: 1 - math.exp(-gain),
    }
    if low != high or not isinstance(config.reward, str) or config.reward not in rewards:
        return None
    reference = find_reference(config.target(), high)
    if reference is None:
        return None
    return rewards[config.reward](SOLVED * math.log(reference.edm_error / max(reference.oracle_error, reference.floor)))
