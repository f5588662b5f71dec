"""Suites are immutable data that refuse what they do not know."""

from __future__ import annotations

import dataclasses

import pytest

from art_gym.agents.benchmark.suite import SAMPLER, Cell, load_suite, parse_suite, suite_names
from art_gym.evaluation.heldout import VALIDATION, VALIDATION_NOISES
from art_gym.solvers.base import SOLVERS
from art_gym.tasks.registry import TASKS

GROUP = "{tasks: [digits], solvers: [euler], steps: [5], training: 64, budget: 100, noises: 32, firsts: [0, 32]}"


def test_every_shipped_suite_holds_known_tasks_and_solvers() -> None:
    for name in suite_names():
        suite = load_suite(name)
        assert suite.name == name
        for cell in suite.cells():
            assert cell.task in TASKS
            assert cell.solver in (*SOLVERS, SAMPLER)


def test_no_seed_is_measured_on_the_noises_that_choose_a_model() -> None:
    chosen = range(VALIDATION, VALIDATION + VALIDATION_NOISES)
    for group in load_suite("v1").groups:
        for first in group.firsts:
            assert first >= chosen.stop or first + group.noises <= chosen.start


def test_a_suite_cannot_be_changed() -> None:
    suite = load_suite("v1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        suite.name = "v2"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        suite.groups[0].noises = 1  # type: ignore[misc]


def test_cells_are_all_combinations() -> None:
    suite = parse_suite(f"name: a\ngroups: [{GROUP.replace('[euler]', '[euler, heun]').replace('[5]', '[5, 7]')}]")
    assert suite.cells() == [Cell("digits", solver, k) for solver in ("euler", "heun") for k in (5, 7)]
    assert suite.group(Cell("digits", "heun", 7)).budget == 100


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"named: a\ngroups: [{GROUP}]", "unknown key 'named' for Suite: did you mean 'name'"),
        (f"name: a\ngroups: [{GROUP.replace('noises', 'noise')}]", "unknown key 'noise' for Group"),
        (f"name: a\ngroups: [{GROUP.replace('budget: 100, ', '')}]", "a suite has a name and groups with all"),
        ("name: a", "a suite has a name and groups"),
        (f"name: a\ngroups: [{GROUP}, {GROUP}]", "hold the same cell"),
        (f"name: a\ngroups: [{GROUP.replace('[0, 32]', '[0, 31]')}]", "the noises of two seeds overlap"),
        (f"name: a\ngroups: [{GROUP.replace('[5]', '[1]')}]", "a number of steps must be a whole number from 2"),
        (f"name: a\ngroups: [{GROUP.replace('[digits]', '[]')}]", "tasks of a group must be a list"),
    ],
)
def test_mistakes(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_suite(text)


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="unknown suite 'v11': did you mean 'v1'"):
        load_suite("v11")
    with pytest.raises(ValueError, match="suite v1 has no cell digits, rk4, K = 5"):
        load_suite("v1").group(Cell("digits", "rk4", 5))
