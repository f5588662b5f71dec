"""GaussianMixture against closed forms and against the definition E[x₀ | x] by quadrature."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from art_gym.denoisers import GaussianMixture
from art_gym.tasks.registry import get_task

LEVELS = (0.03, 0.2, 1.0, 8.0, 80.0)


@pytest.mark.parametrize("sigma", LEVELS)
def test_one_gaussian_has_the_closed_form(sigma: float) -> None:
    centre, width = np.array([0.7, -0.3]), 0.4
    x = np.random.default_rng(0).normal(size=(50, 2)) * np.hypot(sigma, width) + centre
    expected = (width**2 * x + sigma**2 * centre) / (width**2 + sigma**2)
    result = GaussianMixture(centre[None], width)(x, np.full(50, sigma))
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", LEVELS)
def test_mixture_is_the_posterior_mean_by_quadrature(sigma: float) -> None:
    denoiser = get_task("mixture_1d")
    clean = np.linspace(-7, 7, 40001)  # x₀
    distance = (clean[:, None] - denoiser.means.T) / denoiser.stds
    prior = (denoiser.weights / denoiser.stds * np.exp(-(distance**2) / 2)).sum(axis=1)
    x = np.linspace(-2.5, 2.5, 11) * np.hypot(sigma, 1)
    log_likelihood = -((x[:, None] - clean) ** 2) / (2 * sigma**2)
    posterior = prior * np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    expected = posterior @ clean / posterior.sum(axis=1)
    result = denoiser(x[:, None], np.full(len(x), sigma))[:, 0]
    np.testing.assert_allclose(result, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("task", ["mixture_1d", "ring_2d", "checkerboard_2d", "digits"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_numpy_and_torch_agree(task: str, precision: str) -> None:
    denoiser = get_task(task)
    rng = np.random.default_rng(1)
    sigma = np.geomspace(0.01, 80, 300).astype(precision)  # more rows than one block of ExactDataset
    x = rng.normal(size=(300, *denoiser.shape)).astype(precision) * sigma[(...,) + (None,) * len(denoiser.shape)]
    ours = denoiser(x, sigma)
    theirs = denoiser(torch.from_numpy(x), torch.from_numpy(sigma))
    assert ours.dtype == np.dtype(precision)
    assert isinstance(theirs, torch.Tensor)
    np.testing.assert_allclose(theirs.numpy(), ours, atol=1e-10 if precision == "float64" else 2e-4)


def test_data_has_the_declared_deviation() -> None:
    for task in ("gaussian_1d", "mixture_1d", "ring_2d", "checkerboard_2d", "digits"):
        denoiser = get_task(task)
        data = denoiser.sample_data(20000, np.random.default_rng(2))
        assert data.shape == (20000, *denoiser.shape)
        assert data.dtype == np.float32
        assert np.sqrt(((data - data.mean(axis=0)) ** 2).mean()) <= denoiser.data_std * 1.02
        assert data.std() == pytest.approx(denoiser.data_std, rel=0.02)


def test_pickle_keeps_function_and_fingerprint() -> None:
    x, sigma = np.ones((3, 2), np.float32), np.ones(3, np.float32)
    denoiser = get_task("ring_2d")
    before = denoiser(x, sigma)  # this makes the converted constants
    again = pickle.loads(pickle.dumps(denoiser))
    assert again.fingerprint == denoiser.fingerprint
    np.testing.assert_array_equal(again(x, sigma), before)


def test_fingerprint_tells_parameters_apart() -> None:
    means = np.zeros((2, 1))
    fingerprints = {
        GaussianMixture(means, 1.0).fingerprint,
        GaussianMixture(means, 0.5).fingerprint,
        GaussianMixture(means, 1.0, np.array([0.3, 0.7])).fingerprint,
        GaussianMixture(means, 1.0, sigma_max=10.0).fingerprint,
        GaussianMixture(means + 1, 1.0).fingerprint,
    }
    assert len(fingerprints) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        {"means": np.zeros((2, 1)), "stds": -1.0},
        {"means": np.zeros((2, 1)), "stds": 1.0, "weights": np.array([1.0, 0.0])},
        {"means": np.zeros((2, 1)), "stds": 1.0, "weights": np.ones(3)},
    ],
)
def test_bad_parameters_are_named(arguments: dict) -> None:
    with pytest.raises(ValueError, match="2 positive weights and widths"):
        GaussianMixture(**arguments)
