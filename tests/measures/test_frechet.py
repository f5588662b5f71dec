"""Fréchet distance against torchmetrics and the closed form, and precision and recall on known sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from art_gym.measures.features import features_of, load_features
from art_gym.measures.frechet import frechet_distance, precision_recall
from art_gym.tasks.images import digit_images, photo_patches


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["digits", "photos"])
def test_frechet_agrees_with_torchmetrics(name: str) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    images = digit_images()[0] if name == "digits" else photo_patches(1800, np.random.default_rng(1))
    noisy = images[:900] + 0.2 * np.random.default_rng(0).standard_normal(images[:900].shape).astype(np.float32)

    class Double(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return load_features(name)(x.float()).double()

    metric = FrechetInceptionDistance(feature=Double(), input_img_size=images.shape[1:]).set_dtype(torch.float64)
    for part, real in ((images[900:], True), (noisy, False)):
        metric.update(torch.from_numpy(part), real=real)
    ours = frechet_distance(features_of(noisy, name), features_of(images[900:], name))
    assert ours == pytest.approx(float(metric.compute()), rel=1e-6, abs=1e-6)


def test_frechet_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((200_000, 2)), rng.normal([1.0, 0.0], [2.0, 0.5], (200_000, 2))
    assert frechet_distance(a, b) == pytest.approx(1 + (2 - 1) ** 2 + (0.5 - 1) ** 2, rel=0.02)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_precision_and_recall_with_scipy() -> None:
    rng = np.random.default_rng(1)
    samples, data = rng.standard_normal((200, 8)), rng.standard_normal((150, 8)).astype(np.float32)
    reach = [np.sort(cdist(points, points), axis=1)[:, 3] for points in (data, samples)]  # to the third neighbour
    apart = cdist(samples, data)
    expected = (apart <= reach[0]).any(axis=1).mean(), (reach[1] >= apart.T).any(axis=1).mean()
    assert 0 < expected[0] < 1
    assert precision_recall(samples, data) == pytest.approx(expected, abs=1e-12)


def test_precision_and_recall() -> None:
    rng = np.random.default_rng(0)
    data = np.concatenate([rng.standard_normal((300, 2)), rng.normal([20, 0], 1, (300, 2))])
    one_mode = rng.standard_normal((600, 2))
    precision, recall = precision_recall(one_mode, data)
    assert precision > 0.9
    assert 0.35 < recall < 0.55
    assert precision_recall(data + np.array([0, 50]), data) == (0.0, 0.0)
