"""Random models for training."""

from __future__ import annotations

from art_gym.common.limits import MAX_NOISES
from art_gym.tasks.families.base import ROWS, Family
from art_gym.tasks.random_models import DIMENSIONS, TRAINING_SEEDS, random_model
from art_gym.tasks.registry import task

MOST = MAX_NOISES // ROWS  # a bank has noises for no more


@task
def procedural(models: float = 1000) -> Family:
    """The first training models. With few of them an agent can learn each by heart.

    Args:
        models: how many, at most 65,536. Give 16 noises for each.

    Raises:
        ValueError: for a number of models that is not whole, or out of range.
    """
    if not (models == int(models) and 1 <= models <= MOST):
        raise ValueError(f"models must be a whole number from 1 to {MOST}, got {models:g}")
    return Family(random_model, TRAINING_SEEDS[: int(models)], DIMENSIONS[1])
