"""An agent whose network has diverged: one error for what torch and our environments say of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

# What torch's distributions and our environments say, the first with the whole tensor behind it.
SAID = ("Expected parameter", "the action is NaN")


class Diverged(ValueError):
    """The network of an agent gave NaN, or a deviation that is none."""


@contextmanager
def divergence_named(model: BaseAlgorithm) -> Iterator[None]:
    """Raise `Diverged` instead of those errors that a diverged network ends in."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(SAID):
            raise
        raise Diverged(
            f"the network of {type(model).__name__} gave NaN, or a deviation that is none, after "
            f"{model.num_timesteps:,} steps"
        ) from None
