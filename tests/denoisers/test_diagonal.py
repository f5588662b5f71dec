"""DiagonalMixture against GaussianMixture, and against the log density by scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats

from art_gym.denoisers import DiagonalMixture, GaussianMixture

RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(3, 4))
VARIANCES = np.exp(RNG.uniform(-4, 1, (3, 4)))
WEIGHTS = np.array([0.2, 0.5, 0.3])


def test_the_isotropic_case_is_the_gaussian_mixture() -> None:
    stds = np.array([0.1, 0.4, 1.0])
    x, sigma = RNG.normal(size=(50, 4)), np.geomspace(0.01, 50, 50)
    ours = DiagonalMixture(MEANS, np.repeat(stds[:, None] ** 2, 4, axis=1), WEIGHTS)
    theirs = GaussianMixture(MEANS, stds, WEIGHTS)
    np.testing.assert_allclose(ours(x, sigma), theirs(x, sigma), rtol=1e-9, atol=1e-11)
    assert ours.data_std == pytest.approx(theirs.data_std)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0])
def test_it_is_the_score_of_the_density(sigma: float) -> None:
    """Tweedie: D(x, σ) = x + σ² ∇ log p_σ(x)."""
    x, step = RNG.normal(size=(20, 4)), 1e-5

    def log_density(x: np.ndarray) -> np.ndarray:
        modes = [
            stats.multivariate_normal(mean, np.diag(variances + sigma**2)).logpdf(x)
            for mean, variances in zip(MEANS, VARIANCES, strict=True)
        ]
        found: np.ndarray = special.logsumexp(modes, axis=0, b=WEIGHTS[:, None])
        return found

    moves = step * np.eye(4)
    slope = np.stack([(log_density(x + move) - log_density(x - move)) / (2 * step) for move in moves], axis=1)
    result = DiagonalMixture(MEANS, VARIANCES, WEIGHTS)(x, np.full(20, sigma))
    np.testing.assert_allclose(result, x + sigma**2 * slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("levels", [np.full(30, 0.3), np.geomspace(0.01, 50, 30)])
def test_numpy_and_torch_agree(levels: np.ndarray) -> None:
    denoiser, x = DiagonalMixture(MEANS, VARIANCES, WEIGHTS), RNG.normal(size=(30, 4))
    theirs = denoiser(torch.from_numpy(x), torch.from_numpy(levels))
    np.testing.assert_allclose(theirs.numpy(), denoiser(x, levels), atol=1e-10)
    each = [denoiser(x[i : i + 1], levels[i : i + 1])[0] for i in range(30)]
    np.testing.assert_allclose(denoiser(x, levels), each, atol=1e-10)


def test_data_has_the_declared_deviation() -> None:
    denoiser = DiagonalMixture(MEANS, VARIANCES, WEIGHTS)
    data = denoiser.sample_data(20000, np.random.default_rng(2))
    assert data.dtype == np.float32
    assert np.sqrt(((data - data.mean(axis=0)) ** 2).mean()) == pytest.approx(denoiser.data_std, rel=0.02)


def test_bad_parameters_are_named() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 4\).*shape \(3, 3\)"):
        DiagonalMixture(MEANS, VARIANCES[:, :3])
    with pytest.raises(ValueError, match="positive variances"):
        DiagonalMixture(MEANS, -VARIANCES)
    with pytest.raises(ValueError, match="3 positive weights"):
        DiagonalMixture(MEANS, VARIANCES, np.ones(2))
