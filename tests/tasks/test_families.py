"""A family is each of its models, and mixes them in one call."""

from __future__ import annotations

import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch

import art_gym
from art_gym.denoisers.base import models_of
from art_gym.measures.errors import mean_error
from art_gym.schedules.instant import NODES, profile
from art_gym.schedules.probe import probe
from art_gym.solvers.loop import integrate
from art_gym.tasks.families.base import ROWS, Family
from art_gym.tasks.noise_bank import NoiseBank
from art_gym.tasks.random_models import DIMENSIONS, TEST_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS, random_model

WIDTH = DIMENSIONS[1]
FAMILY = Family(random_model, TEST_SEEDS[:12], WIDTH)
LEVELS = 80.0, 3.0, 0.2, 0.01


def latents(count: int = 12 * ROWS, family: Family = FAMILY) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((count, *family.shape))
    return family.arrange(noise, 0)


@pytest.mark.parametrize("sigma", LEVELS)
def test_it_is_each_of_its_models(sigma: float) -> None:
    x, level = latents(), np.full(12 * ROWS, sigma)
    x[:, :-1] *= sigma
    found = FAMILY(x, level)
    np.testing.assert_array_equal(found[:, -1], x[:, -1])
    for number in range(12):
        model, rows = FAMILY.model(number), slice(number * ROWS, (number + 1) * ROWS)
        dimension = model.shape[0]
        expected = model(x[rows, :dimension], level[rows])
        np.testing.assert_allclose(found[rows, :dimension], expected, rtol=1e-7, atol=1e-9)
        assert np.abs(found[rows, dimension:WIDTH]).max(initial=0) < 1e-9


def test_order_levels_and_libraries_change_nothing() -> None:
    x = latents()
    level = np.exp(np.random.default_rng(1).uniform(-4, 4, len(x)))  # another one for each
    x[:, :-1] *= level[:, None]
    found = FAMILY(x, level)
    order = np.random.default_rng(2).permutation(len(x))
    np.testing.assert_allclose(FAMILY(x[order], level[order]), found[order], rtol=1e-9, atol=1e-12)
    same = FAMILY(torch.from_numpy(x), torch.from_numpy(level))
    np.testing.assert_allclose(same.numpy(), found, rtol=1e-9, atol=1e-12)
    tensors = [torch.from_numpy(array[:ROWS]).requires_grad_() for array in (x, level)]
    assert torch.autograd.gradcheck(lambda *of: FAMILY(*of)[:, :3], tensors, atol=1e-5)
    again = pickle.loads(pickle.dumps(FAMILY))
    np.testing.assert_array_equal(again(x, level), found)
    assert again.fingerprint == FAMILY.fingerprint != Family(random_model, VALIDATION_SEEDS[:12], WIDTH).fingerprint


def test_a_bank_holds_the_models_in_turn() -> None:
    bank = NoiseBank(FAMILY, "train", 3 * 12 * ROWS)
    bank.ensure(12 * ROWS + 1)
    numbers = FAMILY.condition(bank.start)
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)) // ROWS % 12)
    model = FAMILY.model(2)
    rows, dimension = slice(2 * ROWS, 3 * ROWS), model.shape[0]
    grid = np.geomspace(80, 0.002, 300)
    expected = integrate(model, [*grid, 0.0], bank.start[rows, :dimension], "rk4")
    np.testing.assert_allclose(bank.endpoints[rows, :dimension], expected, atol=2e-3 * model.data_std)
    assert np.abs(bank.endpoints[:, :WIDTH][:, dimension:][rows]).max() < 1e-6


def test_the_mean_error_is_the_geometric_one_of_models() -> None:
    x = latents()
    models = models_of(x, FAMILY)
    assert models is not None
    errors = np.random.default_rng(3).uniform(0.1, 1, len(x))
    expected = np.exp(np.mean([np.log(errors[models.numbers == number].mean()) for number in range(12)]))
    assert mean_error(errors, models)[0] == pytest.approx(expected)
    tiny = mean_error(np.zeros(len(x)), models)[0]
    scales = [FAMILY.model(i).data_std * np.sqrt(FAMILY.model(i).shape[0] / WIDTH) for i in range(12)]
    assert tiny == pytest.approx(0.01 * np.exp(np.log(scales).mean()))


def test_an_episode_has_one_model_and_its_probe() -> None:
    env = gym.make_vec("ARTDiffusion-Procedural-v0", num_envs=8)
    observation, _ = env.reset(seed=0)
    state, names = env.unwrapped._state, env.unwrapped.observation_names
    family = env.unwrapped.core.problem.denoiser
    numbers = family.condition(state.x)  # (E, N)
    assert (numbers == numbers[:, :1]).all()
    assert len(set(numbers[:, 0])) > 3
    assert len(set(state.num_steps)) > 1
    first = names.index("stiffness_0")
    for row, number, num_steps in zip(observation, numbers[:, 0], state.num_steps, strict=True):
        assert row[names.index("second_order")] == (TRAINING_SEEDS[number] % 2 == 0)
        found = probe(family.model(int(number)))
        np.testing.assert_allclose(row[first : first + len(NODES)], profile(found) / 5, rtol=1e-5)
        low, high = np.log([found.sigma_min, found.sigma_max])
        level = row[names.index("closed_form_1")] * (high - low) + low
        assert np.exp(level) == pytest.approx(found.closed_form(int(num_steps))[1], rel=1e-4)


def test_the_probe_of_a_single_model_is_observed_too() -> None:
    env = gym.make("ARTDiffusion-Ring2D-v0", observation=("time", "probe"))
    observation, _ = env.reset(seed=0)
    first = env.unwrapped.observation_names.index("stiffness_0")
    found = probe(art_gym.get_task("ring_2d"))
    np.testing.assert_allclose(observation[first : first + len(NODES)], profile(found) / 5, rtol=1e-5)
    assert observation[env.unwrapped.observation_names.index("second_order")] == 1


def test_contexts_are_one_ring_at_several_scales() -> None:
    family, ring = art_gym.get_task("context"), art_gym.get_task("ring_2d")
    x = np.random.default_rng(5).standard_normal((8, 2))
    for number in (0, 15):
        model = family.model(number)  # type: ignore[attr-defined]
        scale = model.data_std / ring.data_std
        found = model(x * scale, np.full(8, 0.7 * scale)) / scale
        np.testing.assert_allclose(found, ring(x, np.full(8, 0.7)), rtol=1e-9)
    assert [family.model(0).data_std, family.model(15).data_std] == pytest.approx(  # type: ignore[attr-defined]
        [0.05 * ring.data_std, 4 * ring.data_std]
    )


@pytest.mark.parametrize("models", [10, 100])
def test_sets_of_models_are_nested(models: int) -> None:
    few, many = art_gym.get_task(f"procedural?models={models}"), art_gym.get_task("procedural")
    assert list(few.seeds) == list(many.seeds[:models])  # type: ignore[attr-defined]
    assert not set(few.seeds) & {*TEST_SEEDS, *VALIDATION_SEEDS}  # type: ignore[attr-defined]


@pytest.mark.parametrize("models", [0, 2.5, 1e9])
def test_a_wrong_number_of_models_is_refused(models: float) -> None:
    with pytest.raises(ValueError, match="models must be a whole number from 1 to"):
        art_gym.get_task(f"procedural?models={models}")


def test_a_population_is_of_one_model() -> None:
    with pytest.raises(ValueError, match="population must be at most 16, the noises that "):
        gym.make("ARTDiffusion-Context-v0", population=17)


def test_what_is_for_one_model_refuses_many() -> None:
    with pytest.raises(ValueError, match="this is for one model, and Family is many: take one of them"):
        art_gym.instant(art_gym.get_task("context"), 5)


def test_actions_that_choose_samplers_need_one_solver() -> None:
    with pytest.raises(ValueError, match="drawn is two: choose dpmpp_2m"):
        gym.make("ARTDiffusion-Procedural-v0", action="sampler")


def test_an_ended_episode_names_its_model() -> None:
    env = gym.make("ARTDiffusion-Procedural-v0", num_steps=3)
    problem = env.unwrapped.core.problem  # type: ignore[attr-defined]
    for first in (0, 5 * ROWS):
        env.reset(seed=0, options={"noise": np.arange(first, first + ROWS)})
        *_, ended = (env.step(np.zeros(1, np.float32)) for _ in range(3))
        model = ended[-1]["model"]
        (drawn,) = np.unique(problem.denoiser.condition(problem.bank.start[first : first + ROWS]))
        assert model == drawn
