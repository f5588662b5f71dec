"""Random models for choosing between trained agents."""

from __future__ import annotations

from art_gym.tasks.families.base import Family
from art_gym.tasks.random_models import DIMENSIONS, VALIDATION_SEEDS, random_model
from art_gym.tasks.registry import task


@task
def procedural_validation() -> Family:
    """A hundred models that no training sees."""
    return Family(random_model, VALIDATION_SEEDS, DIMENSIONS[1])
