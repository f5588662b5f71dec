"""The study of the paper's Table 4: what it measures, and that it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.studies import mnist_grids, mnist_saved, table4
from art_gym.agents.studies.mnist_measures import held_out, measured
from art_gym.agents.studies.study import Study
from art_gym.schedules.schedule import Schedule
from art_gym.solvers.base import get_solver
from art_gym.solvers.loop import integrate
from art_gym.tasks.target import Target

SMALL = mnist_grids.QUICK._replace(nfe=(5,), noises=8, with_endpoints=4, training=8)


@pytest.mark.slow
def test_it_runs_from_the_command_line_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table4, "QUICK", SMALL)
    monkeypatch.setattr(mnist_saved, "CURVE", (5,))
    monkeypatch.setattr(mnist_grids, "STIFFNESS", 8)
    for module in (table4, mnist_saved, mnist_grids):
        monkeypatch.setattr(module, "SAMPLER_EVALUATIONS", {5: 1000})
    arguments = ["reproduce", "table4", "--quick", "--seeds", "0", "--out", str(tmp_path)]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "| ART-RL, the paper's | 102.13 |" in table
    assert "| ART-RL, the paper's | 0.20 |" in table  # 102.13 of EDM's 523.60
    assert {"table4.png", "samples.png", "table.md"} <= {file.name for file in (tmp_path / "table4").iterdir()}
    records = (tmp_path / "table4" / "results.jsonl").read_text()
    plans = {line["method"]: line["sigmas"] for line in map(json.loads, records.splitlines()) if "plan" in line}
    assert set(plans) == {*table4.GRIDS, table4.SAMPLER}
    assert main(arguments) == 0
    assert (tmp_path / "table4" / "results.jsonl").read_text() == records


@pytest.mark.parametrize(("solver", "steps"), [("rk4", 2), ("dpmpp_2m", 5), ("heun", 3)])
def test_solvers_are_compared_at_equal_calls(solver: str, steps: int) -> None:
    assert mnist_grids.steps_of(solver, 5) == steps
    assert get_solver(solver).evaluations(steps) == 5


def test_the_hand_made_grids_are_the_papers(tmp_path: Path) -> None:
    """With two steps DPM's and EDM's are the same, as in the paper's table. Uniform's steps run to 0."""
    methods = mnist_grids.Methods(Study("table4", tmp_path), SMALL, 0)
    dpm, edm, uniform = (methods.plan(name, "rk4", 2).sigmas for name in ("DPM", "EDM", "Uniform"))
    assert dpm == pytest.approx((80, 0.002, 0))
    assert edm == pytest.approx(dpm)
    assert uniform == pytest.approx((80, 40, 0))


def test_errors_are_those_of_the_first_noises() -> None:
    target = Target.of("mnist", "dpmpp_2m")
    start, endpoints = target.noises("heldout", 4)
    np.testing.assert_array_equal(held_out(40)[:4], start)
    levels = np.array([80.0, 10.0, 1.0, 0.1, 0.0])
    found = measured("dpmpp_2m", Schedule(tuple(levels), "test"), 8, 4)
    samples = integrate(target.denoiser, levels, start, "dpmpp_2m")
    error = np.sqrt(((samples - endpoints) ** 2).reshape(4, -1).mean(axis=1)).mean()
    assert found["error"] == pytest.approx(error, rel=1e-4)


def test_calls_that_are_saved() -> None:
    """A curve that halves with each call reaches 0.3 between its second and third value."""
    curve = [5, 6, 7]
    theirs = [{"error": e, "error_left_out": [e] * mnist_saved.GROUPS} for e in (1.0, 0.5, 0.25)]
    ours = {"error": 0.3, "error_left_out": [0.3] * mnist_saved.GROUPS}
    assert mnist_saved._needed(ours, theirs, curve, "error", 5) == "6.7 ± 0.0 (26 %)"
    best = {"error": 0.1, "error_left_out": [0.1] * mnist_saved.GROUPS}
    assert mnist_saved._needed(best, theirs, curve, "error", 5) == "more than 7 (> 29 %)"
    worst = {"error": 2.0, "error_left_out": [2.0] * mnist_saved.GROUPS}
    assert mnist_saved._needed(worst, theirs, curve, "error", 5) == "5 or fewer (none)"
