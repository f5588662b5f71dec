"""What the check of a submission refuses, and what it says of a good one."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from art_gym.agents.benchmark.measure import Job, run_job
from art_gym.agents.benchmark.results import Line, append
from art_gym.agents.benchmark.submitted import check
from art_gym.agents.benchmark.suite import Cell
from art_gym.agents.cli.main import main

CELL = Cell("gaussian_1d", "euler", 5)


@pytest.fixture(scope="module")
def good() -> Line:
    return replace(run_job(Job("v1", "arctan", CELL, 1), "abc"), algorithm="mine")


def written(file: Path, *lines: Line) -> Path:
    for line in lines:
        append(file, line)
    return file


def test_a_good_file(good: Line, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = replace(good, seed=0, sigmas=None, score=None)  # the score may be left out
    file = written(tmp_path / "results.jsonl", good, policy)
    assert main(["benchmark", "submit-check", str(file)]) == 0
    said = capsys.readouterr().out
    assert "2 results of suite v1, all well-formed; 1 plans measured again" in said
    assert "mine: 2 runs in 1 of " in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 5}, "line 1: seed must be from 0 to 4, got 5"),
        ({"num_steps": 4}, "suite v1 has no cell gaussian_1d, euler, K = 4"),
        ({"score": 0.2}, r"has the score 1.0 in gaussian_1d, euler, K = 5, got 0.2"),
        ({"actions": "sampler"}, "actions 'sampler' do not fit the solver 'euler'"),
        ({"suite": "v0"}, "unknown suite 'v0'"),
        ({"error": 0.0}, r"\$.error: 0.0 is less than or equal"),
        ({"kind": "magic"}, r"\$.kind: 'magic' is not one of"),
        ({"calls": -1}, r"\$.calls: -1 is less than the minimum"),
        ({"algorithm": "<script>"}, r"\$.algorithm: '<script>' does not match"),
        ({"sigmas": [80.0, 0.0]}, "sigmas must be 6 levels for 5 steps, got 2"),
        ({"sigmas": [80.0, 1.0, 2.0, 0.5, 0.2, 0.0]}, "line 1: "),
        ({"sigmas": [80.0, 9.0, 8.0, 7.0, 6.0, 0.0]}, "line 1: the plan has the error .* with seed 1, not"),
    ],
)
def test_mistakes(changes: dict[str, object], said: str, good: Line, tmp_path: Path) -> None:
    file = written(tmp_path / "results.jsonl", replace(good, **changes))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said):
        check(file, measure=1)


def test_the_same_run_twice(good: Line, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 2: line 1 is the same run"):
        check(written(tmp_path / "results.jsonl", good, good), measure=0)


@pytest.mark.parametrize(("text", "said"), [("", "holds no result"), ("{", "line 1: not JSON"), ("{}", "line 1: ")])
def test_no_results(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        check(file, measure=0)


def test_a_sampler_is_measured_as_one(tmp_path: Path) -> None:
    line = run_job(Job("v1", "unipc_2", Cell("gaussian_1d", "sampler", 3), 0), "abc")
    assert line.told is not None
    assert "1 plans measured again" in check(written(tmp_path / "results.jsonl", line), measure=1)
    wrong = replace(line, told=[0.5, 1.0, 1.0])
    with pytest.raises(ValueError, match="the plan has the error"):
        check(written(tmp_path / "wrong.jsonl", wrong), measure=1)


@pytest.mark.slow
def test_what_an_outsider_writes_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(Path(__file__).parents[3] / "examples" / "benchmark_entry.py"))
    assert "my_cem: 2 runs in 1 of " in check(tmp_path / "runs" / "mine.jsonl", measure=0)
