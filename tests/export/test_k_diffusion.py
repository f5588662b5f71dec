"""A sampler as a function of k-diffusion samples as `follow` does, and as k-diffusion does where it has the sampler."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.export import k_diffusion_sampler
from art_gym.samplers.coefficients import Coefficients, follow
from art_gym.samplers.sampler import Sampler
from art_gym.schedules import Schedule, make_grid
from art_gym.tasks.registry import get_task

RING = get_task("ring_2d")
LEVELS = make_grid("edm", 7, RING)
WHOLE = Sampler(
    (80.0, 11.0, 3.0, 0.9, 0.2, 0.0),
    (0.9, 1.1, 1.0, 0.95, 1.2),
    ((), (0.4,), (0.3, -0.1), (0.5, -0.2, 0.05), (-0.1, 0.02)),
    "test",
)
NOISE = torch.randn(16, *RING.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
exact = partial(torch.testing.assert_close, rtol=0, atol=1e-12)


def euler(model: Callable[..., Any], x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """k-diffusion's sample_euler without churn: x' = x + (σ' − σ) (x − D)/σ."""
    for level, following in pairwise(sigmas):
        x = x + (following - level) * (x - model(x, level.expand(len(x)))) / level
    return x


def dpmpp_2m(model: Callable[..., Any], x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """DPM-Solver++(2M) of Lu et al. (arXiv:2211.01095, algorithm 2) in t = −log σ, as sample_dpmpp_2m has it."""
    times, before = -sigmas.log(), None
    for i, level in enumerate(sigmas[:-1]):
        now = model(x, level.expand(len(x)))
        step, mixed = times[i + 1] - times[i], now
        if before is not None and sigmas[i + 1] > 0:
            r = (times[i] - times[i - 1]) / step
            mixed = (1 + 1 / (2 * r)) * now - 1 / (2 * r) * before
        x, before = sigmas[i + 1] / level * x - torch.expm1(-step) * mixed, now
    return x


def part(first: int, last: int) -> Coefficients:
    """The numbers of the steps from level ``first`` to level ``last``."""
    sigmas, told, weights = WHOLE.coefficients()
    return Coefficients(sigmas[first : last + 1], told[first:last], weights[first:last])


def test_it_samples_as_follow_does() -> None:
    expected = follow(RING, WHOLE.coefficients(), 80 * NOISE)
    sample = k_diffusion_sampler(WHOLE)
    for sigmas in (None, WHOLE.to_sigmas(), torch.tensor(WHOLE.sigmas), torch.tensor(WHOLE.sigmas).half()):
        exact(sample(RING, 80 * NOISE, sigmas, disable=True), expected)
    single = sample(RING, 80 * NOISE.float(), disable=True)
    assert single.dtype == torch.float32
    exact(single, expected.float(), atol=1e-5)


@pytest.mark.parametrize(("solver", "theirs"), [("euler", euler), ("dpmpp_2m", dpmpp_2m)])
def test_it_samples_as_k_diffusion_does(solver: str, theirs: Callable[..., torch.Tensor]) -> None:
    sigmas = torch.tensor(LEVELS, dtype=torch.float64)
    ours = k_diffusion_sampler(Sampler.of(LEVELS, solver))(RING, 80 * NOISE, sigmas, disable=True)
    exact(ours, theirs(RING, 80 * NOISE, sigmas))


@pytest.mark.parametrize(("first", "last"), [(2, 5), (4, 5), (0, 3), (1, 4)])
def test_consecutive_levels_sample_without_the_memory_before_them(first: int, last: int) -> None:
    start, sigmas = WHOLE.sigmas[first] * NOISE, torch.tensor(WHOLE.sigmas[first : last + 1])
    found = k_diffusion_sampler(WHOLE)(RING, start, sigmas, disable=True)
    exact(found, follow(RING, part(first, last), start))


def test_image_to_image_starts_with_a_step_without_memory() -> None:
    """The last two steps by hand. The first has nothing to weight, the second has one estimate."""
    start = 0.9 * NOISE
    now = RING(start, torch.full((16,), 0.95 * 0.9, dtype=torch.float64))
    x = 0.2 / 0.9 * start + (1 - 0.2 / 0.9) * now
    last = RING(x, torch.full((16,), 1.2 * 0.2, dtype=torch.float64))
    found = k_diffusion_sampler(WHOLE)(RING, start, WHOLE.sigmas[3:], disable=True)
    exact(found, last - 0.1 * (last - now))


def test_no_steps_change_nothing() -> None:
    assert k_diffusion_sampler(WHOLE)(RING, NOISE, [0.2], disable=True) is NOISE


@pytest.mark.parametrize(
    ("sigmas", "found"),
    [
        ((80.0, 11.0, 3.1, 0.9, 0.2, 0.0), "have the level 3.1, which is none of its own"),
        ((80.0, 3.0, 0.2, 0.0), "skip, repeat or reorder some"),
        ((11.0, 80.0), "skip, repeat or reorder some"),
        ((80.0, 11.0, 3.0, 0.9, 0.2, 0.0, 0.0), "skip, repeat or reorder some"),
        ((), "skip, repeat or reorder some"),
        ((float("nan"), 0.0), "have the level nan"),
    ],
)
def test_other_levels_are_refused(sigmas: tuple[float, ...], found: str) -> None:
    message = rf"consecutive levels of the sampler, from 80 to 0 in 5 steps, but {found}[^\n]*: pass sigmas=None"
    with pytest.raises(ValueError, match=message):
        k_diffusion_sampler(WHOLE)(RING, NOISE, torch.tensor(sigmas), disable=True)


def test_a_schedule_is_no_sampler() -> None:
    with pytest.raises(ValueError, match="needs a Sampler, got Schedule: for levels with a solver make one with"):
        k_diffusion_sampler(Schedule((80.0, 0.0), "test"))


def test_the_callback_sees_each_step() -> None:
    seen: list[dict[str, Any]] = []
    start = 3 * NOISE
    k_diffusion_sampler(WHOLE)(RING, start, WHOLE.sigmas[2:], callback=seen.append, disable=True)
    assert [set(step) for step in seen] == [{"x", "i", "sigma", "sigma_hat", "denoised"}] * 3
    assert [step["i"] for step in seen] == [0, 1, 2]
    np.testing.assert_allclose([float(step["sigma"]) for step in seen], [3.0, 0.9, 0.2])
    np.testing.assert_allclose([float(step["sigma_hat"]) for step in seen], [3.0, 0.95 * 0.9, 1.2 * 0.2])
    assert seen[0]["x"] is start
    for step in seen:
        assert torch.equal(step["denoised"], RING(step["x"], step["sigma_hat"].expand(16)))


def test_the_model_gets_the_extra_arguments_and_no_gradient() -> None:
    def model(x: torch.Tensor, sigma: torch.Tensor, scale: float) -> torch.Tensor:
        assert sigma.shape == (16,)
        return scale * x

    start = (80 * NOISE).requires_grad_()
    found = k_diffusion_sampler(WHOLE)(model, start, extra_args={"scale": 0.0}, disable=True)
    assert not found.requires_grad
    assert torch.equal(found, torch.zeros_like(found))


def test_disable_hides_the_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    k_diffusion_sampler(WHOLE)(RING, 80 * NOISE, disable=True)
    assert not capsys.readouterr().err
    k_diffusion_sampler(WHOLE)(RING, 80 * NOISE, disable=False)
    assert "5/5" in capsys.readouterr().err
