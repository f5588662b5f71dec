"""One error for a diverged network, which torch and the environments report in different ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

# How the errors of torch's distributions and of the environments begin. Torch's goes on with the whole tensor.
SAID = ("Expected parameter", "the action is NaN")


class Diverged(ValueError):
    """The network of an agent gave NaN, or an invalid standard deviation."""


@contextmanager
def divergence_named(model: BaseAlgorithm) -> Iterator[None]:
    """Raise `Diverged` instead of the errors that a diverged network causes."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(SAID):
            raise
        raise Diverged(
            f"the network of {type(model).__name__} gave NaN, or an invalid standard deviation, after "
            f"{model.num_timesteps:,} steps"
        ) from None
