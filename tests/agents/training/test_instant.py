"""Training the instant policy: the derivatives that it uses, and that it learns what carries over to new models."""

from __future__ import annotations

import numpy as np
import pytest

from art_gym.agents.training.instant import Example, Fitted, Fitting, train_instant
from art_gym.schedules.instant import features
from art_gym.solvers.base import get_solver
from art_gym.tasks.random_models import TRAINING_SEEDS, VALIDATION_SEEDS

SOLVER, STEPS = "dpmpp_2m", 5


def test_the_gradient_is_that_of_the_loss() -> None:
    problem, shift = Fitted(Example.of(VALIDATION_SEEDS[1]), get_solver(SOLVER), STEPS), np.full(STEPS - 1, -0.2)
    problem.least_weighted = 0.0  # of reweighted squares, which change the gradient of tiny errors
    _, gradient = problem.quadratic(problem.point(shift))
    for k, row in enumerate(1e-3 * np.eye(STEPS - 1)):
        expected = (problem.loss(problem.point(shift + row)) - problem.loss(problem.point(shift - row))) / 2e-3
        assert gradient[k] == pytest.approx(expected, rel=0.1, abs=0.01)


def test_it_helps_models_that_it_never_saw() -> None:
    examples = [Example.of(seed) for seed in TRAINING_SEEDS[:25]]
    regression = Fitting(examples, SOLVER, STEPS).run()
    gains = []
    for seed in VALIDATION_SEEDS[:12]:
        problem = Fitted(Example.of(seed), get_solver(SOLVER), STEPS)
        shift = regression.shift(features(problem.probe, STEPS))
        gains.append(problem.loss(problem.point(np.zeros(STEPS - 1))) - problem.loss(problem.point(shift)))
    assert np.mean(gains) > 0.1


def test_training_is_deterministic() -> None:
    first, again = (train_instant(3, (SOLVER,), (4,), progress=False) for _ in range(2))
    np.testing.assert_array_equal(first.regressions[SOLVER, 4].weights, again.regressions[SOLVER, 4].weights)
    assert first.threshold == again.threshold < np.inf
    assert first.facts["seeds"] == f"{TRAINING_SEEDS[0]} to {TRAINING_SEEDS[2]}"


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 models and 3 steps, got 1"):
        train_instant(1)
