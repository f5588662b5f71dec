"""Evaluation by a classifier: whole populations of one class, and the cost that training lowers."""

from __future__ import annotations

import numpy as np
import pytest

from art_gym.envs.config import load_config
from art_gym.evaluation.heldout import _of_one_class, evaluate_plan, evaluate_policy
from art_gym.schedules.grids.base import edm_grid
from art_gym.tasks.target import Target

COUNT = 256  # endpoints of as many held-out noises are shipped


def test_rows_that_fill_no_population_of_their_class_are_left_out() -> None:
    rows, classes = np.arange(10, 20), np.array([0, 0, 0, 1, 2, 2, 2, 2, 2, 3])
    np.testing.assert_array_equal(_of_one_class(rows, classes, 2), [10, 11, 14, 15, 16, 17])
    np.testing.assert_array_equal(_of_one_class(rows, classes, 8), rows)  # there is none


def test_a_policy_sees_populations_of_one_class() -> None:
    config = load_config("guidance", population=8)
    start = config.make_observation().names(5).index("class_0")
    seen = []

    def policy(observed: np.ndarray) -> np.ndarray:
        seen.append(observed[:, start : start + 10])
        return np.zeros((len(observed), 2))

    found = evaluate_policy(policy, config, 5, COUNT, distances=False)
    assert found.noises == 8 * len(seen[0])
    assert 0.75 * COUNT < found.noises <= COUNT
    assert set(seen[0].argmax(axis=1).tolist()) == set(range(10))
    assert found.quality is not None
    assert found.loss == found.quality.cost
    np.testing.assert_allclose(found.guidance, np.ones(5))


def test_guidance_of_a_policy_is_reported_as_its_mean() -> None:
    config = load_config("guidance", population=8)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (5, 2))
    found = evaluate_policy(lambda seen: np.tile(actions[round(5 * seen[0, 0])], (len(seen), 1)), config, 5, 64)
    np.testing.assert_allclose(found.guidance, 4 ** actions[:, 1])


def test_a_plan_is_judged_too_and_other_tasks_are_not() -> None:
    target = Target.of("guidance")
    found = evaluate_plan(target, edm_grid(5, target.denoiser), COUNT, distances=False)
    assert found.quality is not None
    assert found.quality.accuracy > 0.95
    plain = Target.of("gaussian_1d")
    other = evaluate_plan(plain, edm_grid(5, plain.denoiser), COUNT, distances=False)
    assert other.quality is None
    assert other.loss == pytest.approx(other.error)
