"""The study of guidance: its rivals find what a known cost prefers, and its table holds all of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from art_gym.agents.studies import guidance as study
from art_gym.agents.studies.guided import Sampling, constant, evolved, interval
from art_gym.envs.config import load_config
from art_gym.evaluation.heldout import evaluate_policy
from art_gym.schedules.grids.base import edm_grid

NOISES = 256  # held out: their endpoints are shipped
SIZES = np.array([0.3, -0.2, 0.1, 0.0])


def test_constant_guidance_takes_the_best_of_some() -> None:
    found = constant(lambda actions: abs(actions[:, 1].sum() - 1.9), SIZES, np.linspace(-1, 1, 5))
    np.testing.assert_array_equal(found, np.column_stack([SIZES, np.full(4, 0.5)]))


def test_an_interval_of_steps_is_found() -> None:
    wanted = np.array([0.0, 0.5, 0.5, 0.0])
    found = interval(lambda actions: float(np.abs(actions[:, 1] - wanted).sum()), SIZES, np.array([0.25, 0.5]))
    np.testing.assert_array_equal(found, np.column_stack([SIZES, wanted]))


def test_cma_es_comes_near_the_least_cost() -> None:
    best = np.array([0.5, -0.4, 0.2])
    found = evolved(lambda numbers: float(((numbers - best) ** 2).sum()), np.zeros(3), 600, 0)
    np.testing.assert_allclose(found, best, atol=0.02)


def test_levels_and_weights_become_actions_that_choose_them() -> None:
    sampling = Sampling(load_config("guidance"), 16)
    levels = edm_grid(5, sampling.core.problem.denoiser)
    levels[-2] = 0.02  # EDM's last level is at the edge of what an action reaches
    actions = sampling.actions(levels, np.array([1.0, 2.0, 0.5, 1.5, 3.0]))
    state = sampling.core.denoise(sampling._begin())
    for action in actions:
        state = sampling.core.denoise(sampling.core.move(state, action[None])[0])
    np.testing.assert_allclose(state.grid[0], levels[:-1], rtol=1e-6)
    np.testing.assert_allclose(state.weights[0, :, 0], [1.0, 2.0, 0.5, 1.5, 3.0])


def test_evaluations_of_a_search_are_counted() -> None:
    sampling = Sampling(load_config("guidance"), 24)
    assert sampling.cost(np.zeros((5, 2))) == sampling.quality(np.zeros((5, 2))).cost
    assert sampling.evaluations == 2 * 5 * 24


def test_the_table_has_every_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training of agents has its own test (`tests/agents/training/test_guidance.py`)."""
    few = partial(evaluate_policy, count=NOISES)
    monkeypatch.setattr(study, "evaluate_policy", few)
    monkeypatch.setattr(study, "QUICK_NOISES", 64)
    monkeypatch.setattr(study, "QUICK_EVALUATIONS", 12)
    monkeypatch.setattr(study, "SOME", study.SOME[:1])
    monkeypatch.setattr(study, "WEIGHTS", study.WEIGHTS[:3])
    monkeypatch.setattr(study, "MANY", 6)
    text = study.guidance(tmp_path, (), quick=True)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    limits = [f"6 steps, w = {w}" for w in ("1", "1.5", "2")]
    assert [row[0] for row in rows[1:]] == [*study.FIXED, *limits]
    assert all(float(row[1]) > 0 and 0 < float(row[2]) <= 1 for row in rows[1:])
    assert (tmp_path / "guidance" / "guidance.png").exists()
    records = (tmp_path / "guidance" / "results.jsonl").read_text()
    assert study.guidance(tmp_path, (), quick=True) == text  # nothing is computed again
    assert (tmp_path / "guidance" / "results.jsonl").read_text() == records
