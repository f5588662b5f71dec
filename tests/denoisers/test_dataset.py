"""ExactDataset is a mixture with equal widths; Digits is scikit-learn's data."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from threadpoolctl import ThreadpoolController

from art_gym.denoisers import ExactDataset, GaussianMixture
from art_gym.denoisers.dataset import ROWS
from art_gym.tasks.images import digit_images
from art_gym.tasks.registry import get_task


@pytest.mark.parametrize("count", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 5])
def test_equals_a_mixture_with_equal_widths(count: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, 1, 2, 3))
    dataset = ExactDataset(points, width=0.2)
    mixture = GaussianMixture(dataset.points.reshape(40, 6), 0.2)
    sigma = np.geomspace(0.01, 80, count)
    x = rng.normal(size=(count, 6)) * sigma[:, None]
    result = dataset(x.reshape(count, 1, 2, 3), sigma)
    assert result.shape == (count, 1, 2, 3)
    np.testing.assert_allclose(result.reshape(count, 6), mixture(x, sigma), atol=1e-10)


def test_digits_are_those_of_scikit_learn() -> None:
    images, labels = digit_images()
    original = load_digits()
    expected = (original.images - original.images.mean()) / original.images.std() * 0.5
    assert images.shape == (1797, 1, 8, 8)
    np.testing.assert_allclose(images[:, 0], expected, atol=1e-5)
    np.testing.assert_array_equal(labels, original.target)
    assert images.std() == pytest.approx(0.5, abs=1e-5)


def test_digits_denoise_a_little_noise_away() -> None:
    denoiser = get_task("digits")
    rng = np.random.default_rng(1)
    clean = denoiser.sample_data(64, rng)
    noisy = clean + 0.3 * rng.standard_normal(clean.shape, dtype=np.float32)
    denoised = denoiser(noisy, np.full(64, 0.3, np.float32))
    assert np.sqrt(((denoised - clean) ** 2).mean()) < 0.12  # about the width of the Gaussians, 0.1


def test_gradients_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(2)
    dataset = ExactDataset(rng.normal(size=(30, 4)), width=0.2)
    x = torch.tensor(rng.normal(size=(5, 4)), requires_grad=True)
    sigma = torch.tensor(np.geomspace(0.1, 10, 5), requires_grad=True)
    assert torch.autograd.gradcheck(dataset, (x, sigma))


def test_computes_on_one_thread_and_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    blas = ThreadpoolController().select(user_api="blas")
    seen: list[set[int]] = []

    def rows(self: ExactDataset, xp: Any, x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        seen.append({library["num_threads"] for library in blas.info()})
        return x

    monkeypatch.setattr(ExactDataset, "_rows", rows)
    with blas.limit(limits=2):
        get_task("digits")(np.ones((ROWS + 1, 1, 8, 8), np.float32), np.ones(ROWS + 1, np.float32))
        assert seen == [{1}, {1}]
        assert {library["num_threads"] for library in blas.info()} == {2}


def test_pickle_keeps_function_and_fingerprint() -> None:
    denoiser = get_task("digits")
    x, sigma = np.ones((3, 1, 8, 8), np.float32), np.ones(3, np.float32)
    before = denoiser(x, sigma)
    again = pickle.loads(pickle.dumps(denoiser))
    assert again.fingerprint == denoiser.fingerprint
    np.testing.assert_array_equal(again(x, sigma), before)


def test_width_must_be_positive() -> None:
    with pytest.raises(ValueError, match="must be positive, got 0"):
        ExactDataset(np.zeros((2, 1)), width=0)
