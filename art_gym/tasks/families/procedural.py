"""Random models for training."""

from __future__ import annotations

from art_gym.tasks.families.base import Family
from art_gym.tasks.random_models import DIMENSIONS, TRAINING_SEEDS, random_model
from art_gym.tasks.registry import task


@task
def procedural(models: float = 1000) -> Family:
    """The first training models. With few of them an agent can learn each by heart.

    Args:
        models: how many, 10, 100, 1000 or as many as there are seeds.

    Raises:
        ValueError: for a number of models that is not whole, or beyond the seeds.
    """
    if not (models == int(models) and 1 <= models <= len(TRAINING_SEEDS)):
        raise ValueError(f"models must be a whole number from 1 to {len(TRAINING_SEEDS)}, got {models:g}")
    return Family(random_model, TRAINING_SEEDS[: int(models)], DIMENSIONS[1])
