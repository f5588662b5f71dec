"""SpanLift: its solver without residuals, residuals by hand, and less error after learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from art_gym.agents.studies.peers import Learning
from art_gym.agents.studies.spanlift import CHECKS, MEMORY, RATE, Lifted, new_operator, seen, spanlift
from art_gym.denoisers.base import Counted
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.coefficients import follow
from art_gym.samplers.sampler import Sampler
from art_gym.tasks.target import Target

MIXTURE = Target.of("mixture_1d")
LEVELS = np.array([80.0, 5.0, 1.0, 0.3, 0.1, 0.0])
BASE = Sampler.of(LEVELS, "dpmpp_2m").coefficients()


class Constant(torch.nn.Module):
    """The residual 0.1 everywhere."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x), 1), 0.1)


@pytest.mark.parametrize("task", ["mixture_1d", "ring_2d", "digits"])
def test_it_begins_at_its_solver(task: str) -> None:
    target = Target.of(task)
    start, _ = target.noises("train", 16)
    lifted = Lifted(BASE, new_operator(target.denoiser.shape, 5, 0))
    np.testing.assert_allclose(lifted.draw(target.denoiser, start), follow(target.denoiser, BASE, start), atol=1e-4)


def test_residuals_are_added_to_the_aim_of_each_step() -> None:
    """Two steps in numpy. The last one ends at the estimate plus the residual."""
    start, _ = MIXTURE.noises("train", 8)
    denoiser, std = MIXTURE.denoiser, MIXTURE.denoiser.data_std
    found = Lifted(Sampler.of(np.array([80.0, 1.0, 0.0]), "dpmpp_2m").coefficients(), Constant())
    x = start / 80 + (1 - 1 / 80) * (denoiser(start, np.full(8, 80.0)) + 0.1 * std)
    expected = denoiser(x, np.full(8, 1.0)) + 0.1 * std
    np.testing.assert_allclose(found.draw(denoiser, start), expected, rtol=1e-4)


def test_what_the_operator_sees() -> None:
    scaled, estimate = torch.full((2, 3), 7.0), torch.full((2, 3), 5.0)
    vector = seen(1, 4, scaled, [estimate])
    assert vector[0].tolist() == [7.0] * 3 + [5.0] * 3 + [0.0] * 3 * (MEMORY - 1) + [0.0, 1.0, 0.0, 0.0]
    image = seen(1, 4, scaled[..., None, None].expand(2, 3, 5, 6), [])
    assert image.shape == (2, 3 * (1 + MEMORY) + 4, 5, 6)
    assert (image[:, :3] == 7).all()
    assert (image[:, -3] == 1).all()  # step 1 of 4
    assert (image[:, 3:-3] == 0).all()


def test_it_learns_and_is_repeatable() -> None:
    start, endpoints = MIXTURE.noises("train", 256)
    denoiser = Counted(MIXTURE.denoiser)
    found = spanlift(denoiser, BASE, Learning(start, endpoints, 0, 60, 32, RATE))
    assert denoiser.evaluations == (60 * 32 + CHECKS * 256 // 8) * 5
    fresh, ends = MIXTURE.noises("heldout", 1024)
    before = endpoint_error(follow(MIXTURE.denoiser, BASE, fresh), ends).mean()
    assert endpoint_error(found.draw(MIXTURE.denoiser, fresh), ends).mean() < 0.8 * before
    few = (spanlift(MIXTURE.denoiser, BASE, Learning(start, endpoints, 0, 3, 8, RATE)) for _ in range(2))
    np.testing.assert_array_equal(*(lifted.draw(MIXTURE.denoiser, fresh) for lifted in few))


def test_an_operator_that_fails_is_left_out() -> None:
    start, endpoints = MIXTURE.noises("train", 64)
    found = spanlift(MIXTURE.denoiser, BASE, Learning(start, endpoints, 0, 20, 16, rate=100.0))
    np.testing.assert_allclose(found.draw(MIXTURE.denoiser, start), follow(MIXTURE.denoiser, BASE, start), atol=1e-4)
