"""Random models: the seed decides all, and the family is as wide as it says."""

from __future__ import annotations

import numpy as np
import pytest

from art_gym.tasks.random_models import (
    DATA_STD,
    DIMENSIONS,
    KINDS,
    MODES,
    SHARES,
    TEST_SEEDS,
    TRAINING_SEEDS,
    VALIDATION_SEEDS,
    random_model,
)


def test_the_same_seed_makes_the_same_model() -> None:
    assert random_model(3).fingerprint == random_model(3).fingerprint
    assert len({random_model(seed).fingerprint for seed in range(50)}) == 50


def test_the_sets_of_seeds_are_disjoint() -> None:
    sets = [*TEST_SEEDS], [*VALIDATION_SEEDS], [*TRAINING_SEEDS[:5000]]
    assert len(set().union(*sets)) == sum(map(len, sets))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_stays_within_the_declared_ranges(kind: str) -> None:
    models = [random_model(seed, kind) for seed in range(30)]
    for model in models:
        assert DIMENSIONS[0] <= model.shape[0] <= DIMENSIONS[1]
        assert MODES[0] <= len(model.means) <= MODES[1]
        assert DATA_STD[0] * 0.999 <= model.data_std <= DATA_STD[1] * 1.001
        assert model.sigma_min < 0.05 * model.data_std < model.data_std < model.sigma_max
    drawn = models[0].sample_data(5000, np.random.default_rng(0))
    assert np.sqrt(((drawn - drawn.mean(axis=0)) ** 2).mean()) == pytest.approx(models[0].data_std, rel=0.1)


def test_the_spectrum_falls_as_a_power() -> None:
    powers = []
    for seed in range(30):
        variances = random_model(seed, "spectrum").variances[0]
        slopes = np.diff(np.log(variances)) / np.diff(np.log(np.arange(1, len(variances) + 1)))
        assert (slopes < 0).all()
        if np.allclose(slopes, slopes[0]):  # others have the same noise along every axis too
            powers.append(slopes[0])
    assert len(powers) > 8
    assert min(powers) >= -3
    assert max(powers) <= -0.8


def test_the_shares_of_the_kinds_sum_to_one() -> None:
    assert sum(SHARES) == pytest.approx(1)
    assert len(SHARES) == len(KINDS)


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match=r"spectrum.*'flat'"):
        random_model(0, "flat")
