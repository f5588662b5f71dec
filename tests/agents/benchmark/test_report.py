"""The leaderboard compares methods on the same cells alone, and shows what the lines say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from art_gym.agents.benchmark.page import data_of
from art_gym.agents.benchmark.report import write_report
from art_gym.agents.benchmark.results import Line, append
from art_gym.agents.benchmark.scale import load_scale
from art_gym.agents.benchmark.statistics import interquartile_mean
from art_gym.agents.benchmark.suite import Cell
from art_gym.agents.benchmark.tables import coverages, described, entries, runs_of

SCALE = load_scale("v1")


def line(algorithm: str, num_steps: int, seed: int, share: float, kind: str = "probe", solver: str = "euler") -> Line:
    """A run with this score."""
    cell = Cell("ring_2d", solver, num_steps)
    ends = SCALE[cell]
    error = ends.edm[seed] * (ends.best[seed] / ends.edm[seed]) ** share
    score = ends.score(error, seed)
    return Line("v1", algorithm, kind, "grid", *cell, seed, "c", 0, 100 * num_steps, error, score, 1.0, "h")


LINES = [
    *(line("good", k, seed, 0.9 + 0.01 * seed) for k in (3, 5, 7, 10) for seed in range(3)),
    *(line("bad", k, seed, 0.1) for k in (3, 5, 7, 10) for seed in range(2)),
    *(line("narrow", k, 0, 1.0, "RL") for k in (3, 5, 7)),
]


def test_tables_hold_methods_with_all_cells_alone() -> None:
    runs = runs_of(LINES)
    whole, narrow = coverages(runs)
    assert (len(whole), len(narrow)) == (4, 3)
    assert [entry.algorithm for entry in entries(runs, whole, SCALE)] == ["good", "bad"]
    assert [entry.algorithm for entry in entries(runs, narrow, SCALE)] == ["narrow", "good", "bad"]


def test_an_entry_sums_up_its_lines() -> None:
    good, bad = entries(runs_of(LINES), coverages(runs_of(LINES))[0], SCALE)
    assert good.iqm == pytest.approx(interquartile_mean([np.array([0.9, 0.91, 0.92])] * 4))
    assert good.low < good.iqm < good.high
    assert (bad.low, bad.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert (good.calls, good.seconds, good.steps, good.seeds) == (600, 1.0, 0, (3, 3))
    scale = [SCALE[Cell("ring_2d", "euler", k)] for k in (3, 5, 7, 10)]
    ratios = [(ends.edm[seed] / ends.best[seed]) ** 0.9 for ends in scale for seed in (0, 1)]
    assert bad.ratio == pytest.approx(np.exp(np.mean(np.log(ratios))))


def test_the_later_of_two_lines_counts() -> None:
    newer = replace(line("good", 3, 0, 0.5), hyperparameters="other")
    (found,) = (x for x in runs_of([*LINES, newer])["good"][Cell("ring_2d", "euler", 3)] if x.seed == 0)
    assert found.score == pytest.approx(0.5)


def test_cells_in_words() -> None:
    assert described([Cell("a", "euler", 5), Cell("a", "heun", 5)]) == "a; euler, heun; K = 5 (2 cells)"
    assert described([Cell("a", "euler", 5), Cell("b", "heun", 5)]).endswith("K = 5 (2 of 4 cells)")


def test_the_report(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    for entry in LINES:
        append(file, entry)
    text = write_report("v1", [file], tmp_path / "out")
    assert text == (tmp_path / "out" / "leaderboard.md").read_text()
    assert "## Exact, grids" in text
    assert "| **good** | probe | 0.910 [" in text
    assert "| bad | probe | 0.100 |" in text  # not bold: good is of the same class
    assert "| **narrow** | RL | 1.000" in text
    pictures = sorted(picture.name for picture in (tmp_path / "out").glob("*.png"))
    assert pictures == [f"exact_grid_{name}.png" for name in ("costs", "profiles", "scores")]
    with pytest.raises(ValueError, match="no results of suite v1"):
        write_report("v1", [tmp_path / "none.jsonl"], tmp_path / "out")


def test_the_data_of_the_page() -> None:
    data = data_of("v1", LINES)
    assert data["methods"] == [["bad", "probe", "grid"], ["good", "probe", "grid"], ["narrow", "RL", "grid"]]
    assert len(data["runs"]) == len(LINES)
    method, cell, seed, score, *_ = data["runs"][-1]
    assert (data["methods"][method][0], data["cells"][cell], seed, score) == ("narrow", ("ring_2d", "euler", 7), 0, 1)
    json.dumps(data)
