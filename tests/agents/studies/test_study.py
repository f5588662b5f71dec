"""Records are found by key, version and revision. Ratios follow the references of the day."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from art_gym.agents.studies import grids
from art_gym.agents.studies.study import Study
from art_gym.tasks.references import find_reference
from art_gym.tasks.target import Target


def test_a_record_is_computed_once(tmp_path: Path) -> None:
    study = Study("study", tmp_path)
    assert study.once({"k": (1, 2)}, lambda: {"value": 1})["value"] == 1
    assert study.once({"k": (1, 2)}, lambda: {"value": 2})["value"] == 1
    assert "revision" not in study.records()[0]


def test_another_revision_is_another_record(tmp_path: Path) -> None:
    old, new = Study("study", tmp_path), Study("study", tmp_path, revision=1)
    old.once({"k": 1}, lambda: {"value": 1})
    assert new.once({"k": 1}, lambda: {"value": 2})["value"] == 2
    assert new.once({"k": 1}, lambda: {"value": 3})["value"] == 2
    assert old.once({"k": 1}, lambda: {"value": 3})["value"] == 1  # likewise the other way round


def test_ratios_follow_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = find_reference(Target.of("gaussian_1d", "euler"), 5)
    assert reference is not None
    rows = {("gaussian_1d", k, "ours"): [{"error": 0.2}, {"error": 0.3}] for k in grids.STEPS}
    for least, expected in ((0.1, "2.50 (3.00)"), (0.2, "1.25 (1.50)")):
        better = replace(reference, oracle_error=least)
        monkeypatch.setattr(grids, "find_reference", lambda *_, better=better: better)
        grids._oracle.cache_clear()
        assert expected in grids._ratios(rows, "euler", "error", grids._median_and_worst)
    grids._oracle.cache_clear()


def test_seeds_are_summed_up() -> None:
    assert (grids._median_and_worst([1.5]), grids._median_and_worst([1.0, 1.2, 1.1])) == ("1.50", "1.10 (1.20)")
    assert (grids._span([1.004, 1.001]), grids._span([1.0, 1.2])) == ("1.00", "1.00–1.20")
