"""EDM's curve computes no known error again, and its pieces make the whole."""

from __future__ import annotations

import math

import pytest

from art_gym.agents.reports.comparison import steps_saved_line
from art_gym.evaluation.edm_curve import STEPS, EdmCurve, edm_errors, steps_reaching
from art_gym.evaluation.heldout import HELDOUT, evaluate_plan
from art_gym.schedules.grids.base import edm_grid
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


def test_an_error_of_zero_is_reached_where_there_is_none() -> None:
    assert steps_reaching(0.0, (1, 2, 3), (0.5, 0.0, 0.0)) == 2
    assert steps_reaching(0.0, (1, 2), (0.5, 0.1)) == math.inf


def test_errors_are_those_of_edms_grid() -> None:
    levels = edm_grid(7, get_task("ring_2d"))
    expected = evaluate_plan(Target.of("ring_2d", "euler"), levels, HELDOUT).error
    assert EdmCurve(Target.of("ring_2d", "euler")).error(7) == edm_errors("ring_2d", "euler", [7])[7] == expected
    assert (
        EdmCurve(Target.of("ring_2d", "heun")).error(7)
        != expected
        != EdmCurve(Target.of("ring_2d", "euler"), 100).error(7)
    )


def test_steps_are_read_from_what_is_known() -> None:
    known = {k: math.exp(-k) for k in STEPS}
    curve = EdmCurve(Target.of("ring_2d", "euler"), known=known)
    assert curve.steps_for(math.exp(-7)) == pytest.approx(7)
    assert curve.steps_for(math.exp(-20.5)) == pytest.approx(20.5)  # between 20 and 22
    assert curve.steps_for(2.0) == 1
    assert curve.steps_for(math.exp(-101)) == math.inf
    line = "EDM needs {} steps for what the learned schedule does in 5: {}."
    assert steps_saved_line(curve, 5, math.exp(-10)) == line.format("10.0", "50 % fewer")
    assert steps_saved_line(curve, 5, math.exp(-4)) == line.format("4.0", "the learned one takes 25 % more")
    partly = EdmCurve(Target.of("ring_2d", "euler"), known={1: 1e9})
    assert partly.steps_for(EdmCurve(Target.of("ring_2d", "euler")).error(3)) == pytest.approx(3)
