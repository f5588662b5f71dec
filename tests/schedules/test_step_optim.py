"""StepOptim's bound against integrals in closed form, and its grid."""

from __future__ import annotations

import numpy as np
import pytest

from art_gym.denoisers.base import Counted
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules.grids.base import edm_grid
from art_gym.schedules.step_optim import UNSTABLE, _weights, bound, step_optim
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


def test_a_single_step_has_the_error_of_its_only_estimate() -> None:
    logs = -np.log([80.0, 0.002])
    sigma = 80 / np.hypot(1, 80)  # of the variance-preserving model
    assert bound(logs) == pytest.approx(sigma**2 * np.hypot(1, 80) * (1 - 0.002 / 80))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_weights_integrate_polynomials_exactly(count: int) -> None:
    """∫ e^λ, ∫ λ e^λ and ∫ λ² e^λ, which the Lagrange polynomials through enough nodes reproduce."""
    nodes = np.array([-1.5, -0.4, 0.3])[-count:]
    start, stop = 0.3, 2.0
    primitives = (lambda x: np.exp(x), lambda x: (x - 1) * np.exp(x), lambda x: (x**2 - 2 * x + 2) * np.exp(x))
    for power, primitive in enumerate(primitives[:count]):
        found = _weights(nodes, start, stop, 0.0) @ nodes**power
        assert found == pytest.approx(primitive(stop) - primitive(start))


@pytest.mark.parametrize("num_steps", [2, 5, 7, 10])
def test_the_grid_has_a_low_bound_without_any_call(num_steps: int) -> None:
    denoiser = Counted(get_task("digits"))
    levels = step_optim(denoiser, num_steps)
    assert denoiser.calls == 0
    assert levels[0] == denoiser.sigma_max
    assert (np.diff(levels) < 0).all()
    logs = -np.log(np.append(levels[:-1], denoiser.sigma_min))
    assert bound(logs) < 0.9 * bound(-np.log(edm_grid(num_steps + 1, denoiser)[:-1]))
    for k in range(1, num_steps if num_steps <= UNSTABLE else 0):  # with more steps the bound has kinks
        for move in (-0.02, 0.02):
            moved = logs.copy()
            moved[k] += move
            assert bound(moved) > 0.999 * bound(logs)


def test_a_known_error() -> None:
    """An independent implementation has .0800 on Digits with 2M and K = 5."""
    target = Target.of("digits")
    found = evaluate_plan(target, step_optim(target.denoiser, 5), distances=False)
    assert found.error == pytest.approx(0.0800, abs=5e-4)
