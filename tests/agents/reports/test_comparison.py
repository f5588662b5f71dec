"""Tables that hold schedules and samplers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from art_gym.agents.reports.comparison import (
    FLOORS,
    ORACLE,
    SAMPLER_ORACLE,
    baselines,
    floors,
    remarks_on_scores,
    row,
    table,
)
from art_gym.envs.config import EnvConfig, load_config
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.grids.base import edm_grid
from art_gym.tasks import references

K = 5
CONFIG = load_config("mixture_1d_sampler", num_steps=K)
TARGET = CONFIG.target()
LEVELS = (80.0, 3.1228, 1.6155, 0.3243, 0.1238, 0.0)
SAMPLER = Sampler(LEVELS, (0.5, 1.0, 1.0, 1.0, 1.0), ((), (0.3,), (0.5,), (0.6,), (0.1,)), "given")


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> references.Reference:
    """The stored best grid, where the only stored best sampler is the one above."""
    grid = references.find_reference(replace(TARGET, freedom=None), K)
    assert grid is not None
    assert TARGET.freedom is not None
    best = replace(
        grid,
        freedom=TARGET.freedom.name,
        oracle_error=evaluate_plan(TARGET, SAMPLER).error,
        oracle_sigmas=SAMPLER.sigmas,
        oracle_told=SAMPLER.told,
        oracle_weights=SAMPLER.weights,
    )
    monkeypatch.setattr(references, "load_references", lambda: (grid, best))
    return grid


def test_each_kind_is_scored_by_its_own_oracle(grid: references.Reference) -> None:
    rows = {entry.method: entry for entry in baselines(TARGET, [K], config=CONFIG)}
    assert rows[SAMPLER_ORACLE].score == pytest.approx(1)
    assert rows[SAMPLER_ORACLE].of_sampler
    assert rows[ORACLE].score == pytest.approx(1)
    assert not rows[ORACLE].of_sampler
    assert rows[ORACLE].evaluation.error == pytest.approx(grid.oracle_error, rel=1e-3)
    assert rows[SAMPLER_ORACLE].evaluation.error != pytest.approx(grid.oracle_error, rel=0.1)
    assert rows["EDM ρ=7"].score == pytest.approx(0, abs=1e-3)


def test_only_a_freedom_has_the_best_sampler_beside_it(grid: references.Reference) -> None:
    methods = {entry.method for entry in baselines(replace(TARGET, freedom=None), [K])}
    assert ORACLE in methods
    assert SAMPLER_ORACLE not in methods


def test_a_sampler_is_scored_without_a_known_freedom(grid: references.Reference) -> None:
    unknowing = replace(TARGET, freedom=None)
    assert row("a", unknowing, SAMPLER).score == row("a", TARGET, SAMPLER).score == pytest.approx(1)


def test_floors_play_the_actions_of_the_environment() -> None:
    zero, random = floors(TARGET, K, 256, CONFIG)
    assert (zero.method, random.method) == FLOORS
    assert zero.evaluation.error == pytest.approx(floors(TARGET, K, 256, EnvConfig())[0].evaluation.error, rel=1e-3)
    assert zero.evaluation.sampler is not None
    assert zero.evaluation.sampler.told == pytest.approx(1)
    assert random.evaluation.sampler is not None
    assert (random.evaluation.sampler.told != 1).any()
    assert (random.evaluation.sampler.weights[2:] != 0).all()


def test_what_a_table_says_of_its_scores(grid: references.Reference) -> None:
    levels = edm_grid(K, TARGET.denoiser)
    schedule, sampler = row("a", TARGET, levels, 64), row("b", TARGET, SAMPLER, 64)
    assert remarks_on_scores([schedule]) == []
    assert "| schedule |" in table([schedule])
    both = "A sampler's score is 1 for the best sampler known, a schedule's for the best fixed grid."
    assert remarks_on_scores([schedule, sampler]) == [both]
    assert "| method |" in table([schedule, sampler])
    unknown = replace(sampler, score=None)
    missing = "A score of – means that no best {} is stored for this task, solver and K."
    assert remarks_on_scores([schedule, unknown]) == [both, missing.format("sampler")]
    assert remarks_on_scores([replace(schedule, score=None), unknown]) == [
        both,
        missing.format("fixed grid or sampler"),
    ]
    assert remarks_on_scores([replace(schedule, score=None)]) == [missing.format("fixed grid")]


def test_scores_are_measured_on_the_noises_of_their_row(grid: references.Reference) -> None:
    few = row("a", TARGET, np.array(grid.oracle_sigmas), 64)
    assert few.score == pytest.approx(1)
    assert few.evaluation.error != pytest.approx(grid.oracle_error, rel=1e-6)
