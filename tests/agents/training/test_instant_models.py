"""Models that only train the instant policy."""

from __future__ import annotations

import numpy as np
import pytest

from art_gym.agents.training.instant_models import LEAVES, TREE, WIDE, SharedMixture, tree_model, wide_model
from art_gym.denoisers import DiagonalMixture


def test_a_shared_mixture_is_the_diagonal_one() -> None:
    rng = np.random.default_rng(0)
    means, variances, weights = rng.standard_normal((5, 3)), np.array([0.01, 0.1, 0.3]), np.arange(1.0, 6)
    shared = SharedMixture(means, variances, weights, (0.002, 80))
    plain = DiagonalMixture(means, np.tile(variances, (5, 1)), weights)
    assert shared.data_std == pytest.approx(plain.data_std)
    for sigma in (0.01, 0.3, 10.0):
        x, levels = sigma * rng.standard_normal((7, 3)), np.full(7, sigma)
        np.testing.assert_allclose(shared(x, levels), plain(x, levels), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("seed", range(8))
def test_a_seed_makes_a_model(seed: int) -> None:
    wide, tree = wide_model(seed), tree_model(seed)
    assert WIDE[0] <= wide.shape[0] <= WIDE[1]
    assert TREE[0] <= tree.shape[0] <= TREE[1]
    assert 2 <= len(tree.weights) <= LEAVES
    np.testing.assert_array_equal(tree.means, tree_model(seed).means)
    np.testing.assert_array_equal(wide.means, wide_model(seed).means)
