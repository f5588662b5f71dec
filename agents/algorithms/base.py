"""The registry of algorithms, and the lookup of a class by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from art_gym.common.messages import short
from art_gym.common.registry import ModuleRegistry
from art_gym.search.base import SEARCHES

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

DISCRETE = ("dqn", "maskableppo", "qrdqn")  # classes for discrete actions; the size of a step is continuous
Kind = TypeVar("Kind", bound="type[BaseAlgorithm]")


@dataclass(frozen=True)
class Algorithm:
    """A class like those of stable-baselines3, and its hyperparameters if no file in envs_configs has them."""

    kind: type[BaseAlgorithm]
    recipe: Mapping[str, Any] | None = None


ALGORITHMS: ModuleRegistry[Algorithm] = ModuleRegistry("algorithm", "art_gym.agents.algorithms")


def algorithm(name: str, recipe: Mapping[str, Any] | None = None) -> Callable[[Kind], Kind]:
    """Register a class for `art-gym train --algo`; ``recipe`` has the form of an entry in a hyperparameters file."""

    def decorate(kind: Kind) -> Kind:
        ALGORITHMS.add(name, Algorithm(kind, recipe))
        return kind

    return decorate


def algorithm_class(name: str) -> type[BaseAlgorithm]:
    """The registered class of that name, or the one of stable-baselines3 or sb3-contrib; case does not matter.

    Raises:
        ValueError: for an unknown name, a search or an algorithm for discrete actions; it lists the known names.
    """
    key, classes = name.lower(), _library()
    if key in ALGORITHMS:
        return ALGORITHMS[key].kind
    if key in classes and key not in DISCRETE:
        return classes[key]
    names = ", ".join(sorted({*classes, *ALGORITHMS} - {*DISCRETE}))
    if key in DISCRETE:
        raise ValueError(
            f"{short(name)} is for discrete actions, and the size of a step is continuous: choose one of {names}"
        )
    if key in SEARCHES:
        raise ValueError(f"{short(name)} finds fixed schedules without RL, and has no class: choose one of {names}")
    raise ValueError(f"unknown algorithm {short(name)}: choose one of {', '.join(SEARCHES)}, {names}")


@cache
def _library() -> dict[str, type[BaseAlgorithm]]:
    import sb3_contrib
    import stable_baselines3
    from stable_baselines3.common.base_class import BaseAlgorithm

    return {
        key.lower(): value
        for module in (sb3_contrib, stable_baselines3)
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseAlgorithm)
    }
