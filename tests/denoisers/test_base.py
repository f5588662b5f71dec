"""A plain function as a denoiser, the counter, and errors for what is no denoiser."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.denoisers import Counted, Denoiser, FunctionDenoiser, from_callable
from art_gym.denoisers.checks import check_call, check_denoiser


def zero(x: Any, sigma: Any) -> Any:
    """The denoiser for data that are all 0."""
    return 0 * x


def test_function_becomes_a_denoiser() -> None:
    denoiser = FunctionDenoiser(zero, shape=(3,), sigma_min=0.01, sigma_max=10.0, data_std=0.7)
    assert isinstance(denoiser, Denoiser)
    np.testing.assert_array_equal(denoiser(np.ones((2, 3)), np.ones(2)), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": ()}, "shape must be"),
        ({"shape": (0, 2)}, "shape must be"),
        ({"sigma_min": 0.0}, "noise range"),
        ({"sigma_min": 2.0, "sigma_max": 1.0}, "noise range"),
        ({"sigma_max": float("inf")}, "noise range"),
        ({"sigma_max": float("nan")}, "noise range"),
        ({"data_std": -1.0}, "data_std must be positive"),
        ({"data_std": float("nan")}, "data_std must be positive"),
        ({"data_std": float("inf")}, "data_std must be positive and finite"),
        ({"data_std": "0.5"}, "data_std must be a number, got '0.5'"),
        ({"sigma_max": "80"}, "sigma_max must be a number"),
        ({"data_std": None}, "data_std must be a number, got None"),
        ({"sigma_min": 1j}, "sigma_min must be a number, got 1j"),
        ({"data_std": np.ones(2)}, "data_std must be a number, got array"),
    ],
)
def test_wrong_attributes_are_named(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FunctionDenoiser(zero, **{"shape": (3,), **wrong})


def test_numbers_of_numpy_are_numbers() -> None:
    denoiser = FunctionDenoiser(zero, shape=(np.int64(3),), data_std=np.float32(0.5), sigma_max=np.int64(80))
    assert denoiser.shape == (3,)
    assert type(denoiser.shape[0]) is int


def test_what_is_no_denoiser_gets_a_remedy() -> None:
    with pytest.raises(ValueError, match="must be callable"):
        check_denoiser(SimpleNamespace(shape=(1,)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no attribute 'shape'.*FunctionDenoiser"):
        check_denoiser(zero)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2,), (3,), (2, 3), (3, 2, 4)])
def test_levels_that_are_not_one_for_each_latent_fit_no_axis_by_chance(shape: tuple[int, ...]) -> None:
    broadcast = FunctionDenoiser(lambda x, sigma: x / (1 + sigma**2), shape)  # (B, d) needs sigma[:, None]
    with pytest.raises(ValueError, match="a level for each latent"):
        check_call(broadcast)
    check_call(FunctionDenoiser(zero, shape))


def test_what_torch_raises_for_shapes_is_one_line_and_memory_is_let_through() -> None:
    with pytest.raises(ValueError, match=r"for each latent: RuntimeError: The size of tensor a \(2\) must") as refused:
        check_call(from_callable(lambda x, sigma: x / (1 + sigma**2), (2,)))
    assert "\n" not in str(refused.value)

    def short_of_memory(x: Any, sigma: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        check_call(FunctionDenoiser(short_of_memory, (2,)))


def test_counter_counts_calls_and_samples() -> None:
    counted = Counted(FunctionDenoiser(zero, shape=(3,)))
    for batch in (4, 7):
        counted(np.ones((batch, 3)), np.ones(batch))
    assert (counted.calls, counted.evaluations) == (2, 11)
