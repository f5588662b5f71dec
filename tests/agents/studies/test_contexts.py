"""What a context is worth: the shared grid is the best compromise, and the table compares it with each best grid."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from art_gym.agents.studies import contexts as study
from art_gym.schedules.schedule import resampled


def test_a_shared_grid_is_no_worse_than_one_settings_own() -> None:
    settings = study._scales(5)[1:3]
    best = [study._best(setting, study.QUICK) for setting in settings]

    def cost(levels: np.ndarray) -> float:
        return sum(np.log(setting.error(levels, "train", study.QUICK.noises)) for setting in settings)

    shared = study._shared(settings, best, study.QUICK)
    assert cost(shared) <= min(cost(levels) for levels in best)


def test_a_grid_that_settings_of_several_k_share_is_resampled() -> None:
    five, ten = study._steps("gaussian_1d")[0], study._steps("gaussian_1d")[-1]
    base = study._shared([five, ten], [study._best(each, study.QUICK) for each in (five, ten)], study.QUICK)
    assert len(base) == 11
    np.testing.assert_array_equal(study._of(base, five), resampled(base, 5))
    np.testing.assert_array_equal(study._of(base, ten), base)


def test_the_table_follows_from_the_records(tmp_path: Path) -> None:
    text = study.contexts(tmp_path, (0,), quick=True)
    (record,) = [json.loads(line) for line in (tmp_path / "contexts" / "results.jsonl").read_text().splitlines()]
    ratios = [one["shared"] / one["best"] for one in record["settings"]]
    (row,) = [line for line in text.splitlines() if line.startswith("| K, Ring2D")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert float(cells[2]) == pytest.approx(np.prod(ratios) ** (1 / len(ratios)), abs=0.006)
    assert cells[3] == ", ".join(f"{ratio:.2f}" for ratio in ratios)
    assert (tmp_path / "contexts" / "contexts.png").exists()
    assert study.contexts(tmp_path, (0,), quick=True) == text
