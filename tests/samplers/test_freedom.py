"""The numbers of a sampler: what may be chosen, back and forth, for numpy, torch and each sample of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from art_gym.denoisers.base import Counted
from art_gym.samplers.coefficients import follow
from art_gym.samplers.freedom import Freedom, weights_2m
from art_gym.samplers.sampler import Sampler
from art_gym.schedules import make_grid
from art_gym.tasks.registry import get_task

FREEDOMS = [
    Freedom(1, False),
    Freedom(1, True),
    Freedom(2, False),
    Freedom(2, True),
    Freedom(3, True),
    Freedom(4, False),
    Freedom(shared=True),
]


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7])
@pytest.mark.parametrize("freedom", FREEDOMS, ids=lambda freedom: freedom.name)
@given(seed=st.integers(0, 2**32 - 1))
def test_numbers_there_and_back(freedom: Freedom, num_steps: int, seed: int) -> None:
    digits, rng = get_task("digits"), np.random.default_rng(seed)
    numbers = 0.5 * rng.standard_normal(freedom.size(num_steps))
    made = freedom.coefficients(numbers, num_steps, digits)
    again = freedom.coefficients(freedom.numbers(made, digits), num_steps, digits)
    if freedom.shared:
        again = again._replace(told=made.told)  # the bound of the model's range changes the mean of log c
    for ours, theirs in zip(made, again, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    told = made.told * made.sigmas[:-1]
    assert (told <= digits.sigma_max * (1 + 1e-12)).all()
    assert (told >= digits.sigma_min * (1 - 1e-12)).all()
    assert Sampler.made(made, "test").memory <= max(freedom.memory, 2)


@pytest.mark.parametrize("freedom", FREEDOMS, ids=lambda freedom: freedom.name)
def test_each_sample_has_its_own_numbers(freedom: Freedom) -> None:
    digits, rng = get_task("digits"), np.random.default_rng(0)
    numbers = 0.3 * rng.standard_normal((freedom.size(5), 3))
    noise = 80 * rng.standard_normal((3, 1, 8, 8))
    together = follow(digits, freedom.coefficients(numbers, 5, digits), noise)
    for i in range(3):
        alone = follow(digits, freedom.coefficients(numbers[:, i], 5, digits), noise[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-9)
    of_torch = follow(digits, freedom.coefficients(torch.from_numpy(numbers), 5, digits), torch.from_numpy(noise))
    np.testing.assert_allclose(of_torch.numpy(), together, atol=1e-9)


def test_the_weights_of_2m_are_the_solvers_own() -> None:
    levels = make_grid("edm", 6, get_task("digits"))
    expected = Sampler.of(levels, "dpmpp_2m").coefficients().weights[:, 0]
    np.testing.assert_allclose(weights_2m(levels), expected, atol=1e-12)


def test_names_and_refusals() -> None:
    assert [freedom.name for freedom in FREEDOMS] == [
        "levels",
        "told levels",
        "weights",
        "weights and told levels",
        "weights and told levels of 3 calls",
        "weights of 4 calls",
        "two shared factors",
    ]
    with pytest.raises(ValueError, match="memory must be a whole number from 1 to 8, got 0"):
        Freedom(0)
    with pytest.raises(ValueError, match="memory must be a whole number from 1 to 8, got True"):
        Freedom(True)
    with pytest.raises(ValueError, match="told must be True or False, got 'yes'"):
        Freedom(told="yes")


@pytest.mark.parametrize("freedom", FREEDOMS, ids=lambda freedom: freedom.name)
def test_a_flow_model_begins_with_the_noise_as_it_is(freedom: Freedom) -> None:
    """x/(1 + τ) of x = σ₀ε is ε."""
    flow = Counted(get_task("digits"))
    flow.flow = True
    made = freedom.coefficients(0.3 * np.ones(freedom.size(4)), 4, flow)
    assert made.sigmas[0] / (1 + made.told[0] * made.sigmas[0]) == pytest.approx(1)
    assert (made.told[1:] != made.told[0]).all()
