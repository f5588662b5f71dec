"""Random models for the scores that are reported."""

from __future__ import annotations

from art_gym.tasks.families.base import Family
from art_gym.tasks.random_models import DIMENSIONS, TEST_SEEDS, random_model
from art_gym.tasks.registry import task


@task
def procedural_test() -> Family:
    """A hundred models that neither training nor any choice sees. The best grid of each is stored."""
    return Family(random_model, TEST_SEEDS, DIMENSIONS[1])
