"""Distances between samples against POT and scipy."""

from __future__ import annotations

import numpy as np
import ot
import pytest
from scipy import stats
from scipy.spatial.distance import cdist, pdist

from art_gym.measures.distances import energy_distance, random_directions, sliced_wasserstein
from art_gym.measures.errors import endpoint_error


@pytest.fixture
def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 5)).astype(np.float32), (rng.normal(size=(200, 5)) * 1.5 + 0.3).astype(np.float32)


def test_endpoint_error_is_the_root_mean_square_over_elements() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 3, 4, 1, 2, 2))
    expected = np.linalg.norm((a - b).reshape(3, 4, -1), axis=-1) / np.sqrt(4)
    np.testing.assert_allclose(endpoint_error(a, b, batch_axes=2), expected)
    np.testing.assert_allclose(endpoint_error(a[0], b[0]), expected[0])


def test_sliced_wasserstein_against_pot(samples: tuple[np.ndarray, np.ndarray]) -> None:
    directions = random_directions(5, 64, np.random.default_rng(2))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=0), 1, rtol=1e-6)
    expected = ot.sliced_wasserstein_distance(*samples, projections=directions, p=2)
    assert sliced_wasserstein(*samples, directions) == pytest.approx(expected, rel=1e-5)


def test_sliced_wasserstein_in_one_dimension_against_pot_and_scipy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(100, 1)), rng.exponential(size=(100, 1)) + 4  # b is above a, so W₁ is that of the means
    one = np.ones((1, 1))
    assert sliced_wasserstein(a, b, one) ** 2 == pytest.approx(ot.wasserstein_1d(a, b, p=2)[0], rel=1e-9)
    shifted = a + 0.7  # for a shift W₁ and W₂ are equal
    assert sliced_wasserstein(a, shifted, one) == pytest.approx(stats.wasserstein_distance(a[:, 0], shifted[:, 0]))


def test_sliced_wasserstein_takes_batches(samples: tuple[np.ndarray, np.ndarray]) -> None:
    directions = random_directions(5, 16, np.random.default_rng(4))
    a, b = (array.reshape(4, 50, 5) for array in samples)
    expected = [sliced_wasserstein(x, y, directions) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(sliced_wasserstein(a, b, directions), expected, rtol=1e-6)


def test_energy_distance_against_scipy_in_one_dimension(samples: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = samples[0][:, :1], samples[1][:150, :1]
    # scipy counts each sample's distance 0 to itself, so the mean over pairs shrinks by 1/n.
    biased = energy_distance(a, b) + pdist(a).mean() / len(a) + pdist(b).mean() / len(b)
    assert np.sqrt(biased) == pytest.approx(stats.energy_distance(a[:, 0], b[:, 0]), rel=1e-6)


def test_energy_distance_by_its_definition(samples: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = samples[0], samples[1][:120]
    expected = 2 * cdist(a, b).mean() - pdist(a).mean() - pdist(b).mean()
    assert energy_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_energy_distance_is_unbiased() -> None:
    rng = np.random.default_rng(5)
    values = [energy_distance(*rng.normal(size=(2, 20, 3))) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20
