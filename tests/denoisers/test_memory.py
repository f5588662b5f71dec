"""The memory of a call, against the known size of its tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from art_gym.denoisers import from_callable
from art_gym.denoisers.memory import GIB, peak_bytes, rows_within

KIB = 1024
ROW = 64 * KIB  # bytes of float32


def rows(count: int) -> torch.Tensor:
    return torch.zeros(count, ROW // 4)


@pytest.mark.parametrize(
    ("function", "tensors"),
    [
        (lambda x: x.exp(), 1),
        (lambda x: x.exp().exp().exp().exp(), 2),  # one tensor and the next, since unneeded ones are freed
        (lambda x: torch.cat([x.exp().reshape(-1), x.exp().T.reshape(-1)[:1]])[: x.numel()].reshape(x.shape), 3),
        (lambda x: x.exp() + x.sin() + x.cos(), 3),
        (lambda x: x.reshape(1, -1).reshape(x.shape)[:, :1], 0),  # views
        (lambda x: x, 0),
    ],
)
def test_peak_is_that_of_the_tensors_alive(function: Any, tensors: int) -> None:
    for count in (1, 3):
        assert peak_bytes(function, rows(count)) == pytest.approx(tensors * count * ROW, abs=64)


def test_weights_do_not_count() -> None:
    layer = torch.nn.Linear(ROW // 4, 1)  # multiplies with the view weight.T
    with torch.no_grad():
        assert peak_bytes(layer, rows(3)) == 3 * 4


def test_rows_that_stay_within_a_limit() -> None:
    table = torch.zeros(10, ROW // 4)
    tried: list[int] = []

    def function(x: torch.Tensor) -> torch.Tensor:  # ten rows and a sum for any batch, and up to two tensors per row
        tried.append(len(x))
        return x * table.exp().sum(0) + x.exp()

    for limit in (11 * ROW, 12.9 * ROW, 25 * ROW, 100 * ROW):
        found = rows_within(limit, 1000, function, rows(1))
        assert peak_bytes(function, rows(found)) <= limit < peak_bytes(function, rows(3 * found + 3))
    tried.clear()
    assert rows_within(1e9, 11, function, rows(1)) == 11
    assert tried == [1, 2, 4, 8, 11]
    with pytest.raises(ValueError, match=r"one latent .* 0\.00067.* GiB of tensors, more than max_memory = 0\.0003.*"):
        rows_within(6 * ROW, 11, function, rows(1))


@pytest.fixture
def sizes() -> list[int]:
    return []


def test_a_denoiser_keeps_to_a_limit(sizes: list[int]) -> None:
    """For its calls and its decoder's, each batch as large as fits."""
    shape = (3, 16, 16)  # 3 KiB
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 3, 3, padding=1))

    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return network(x)

    def limited(**limits: float) -> Any:
        upscale = torch.nn.Upsample(scale_factor=4)
        return from_callable(function, shape, decoder=upscale, **limits)

    x, sigma = np.ones((100, *shape), np.float32), np.ones(100, np.float32)
    expected = limited()(x, sigma)
    sizes.clear()
    kib = (8 + 3) * 16 * 16 * 4 / KIB  # per latent: the outputs of the first layer and of the second
    denoiser = limited(max_memory=30.5 * kib * KIB / GIB)
    np.testing.assert_allclose(denoiser(x, sigma), expected, atol=1e-6)
    assert sizes == [1, 2, 4, 8, 16, 30, 30, 30, 10]
    denoiser(x[:40], sigma[:40])
    assert sizes[9:] == [30, 10]  # measured once
    assert denoiser.decode(x).shape == (100, 3, 64, 64)
    assert denoiser.max_batch == {"network": 30, "decoder": 30.5 * kib // 48}
    assert limited(max_batch=7, max_memory=1)(x, sigma).shape == x.shape
    assert max(sizes[-15:]) == 7
    assert denoiser(x[:0], sigma[:0]).shape == (0, *shape)


def test_wrong_limits_are_refused() -> None:
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"max_memory must be a positive number of GiB, got"):
            from_callable(lambda x, sigma: x, (2,), max_memory=wrong)
    denoiser = from_callable(lambda x, sigma: x.exp(), (ROW // 4,), max_memory=ROW / 2 / GIB)
    with pytest.raises(ValueError, match=r"one latent of shape \(16384,\) takes .* GiB of tensors, more than"):
        denoiser(rows(2), torch.ones(2))
