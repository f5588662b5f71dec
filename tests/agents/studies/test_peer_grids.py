"""The study of grids without a search: costs are counted, and a table shows each grid and the best in bold."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.studies import peer_grids
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules import make_grid
from art_gym.tasks.target import Target


@pytest.mark.parametrize(
    ("name", "calls", "evaluations"), [("beta", 0, 0), ("gits", 61, 61 * 256), ("step_optim", 0, 0)]
)
def test_what_a_grid_costs(name: str, calls: int, evaluations: int) -> None:
    found = peer_grids.measured("ring_2d", name, 5)
    assert (found["calls"], found["evaluations"]) == (calls, evaluations)


def test_the_error_is_that_of_evaluate() -> None:
    target = Target.of("ring_2d")
    expected = evaluate_plan(target, make_grid("beta", 5, target.denoiser), distances=False).error
    assert peer_grids.measured("ring_2d", "beta", 5)["error"] == expected


def test_cells() -> None:
    errors = {("a", 5): 0.25, ("a", 7): 0.5, ("b", 7): 0.125}
    least = {("a", 5): 0.25, ("a", 7): 0.4, ("b", 5): 0.1, ("b", 7): 0.1}
    assert peer_grids._cells(errors, least, ("a", "b"), (5, 7)) == ["**0.2500** / 0.5000", "– / 0.1250"]
    assert peer_grids._ratio(errors, dict.fromkeys(least, 0.125)) == pytest.approx(2)  # of ratios 2, 4 and 1


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_grids, "NOISES", 16)
    monkeypatch.setattr(peer_grids, "FITTED", {name: peer_grids.FITTED[name] for name in ("art", "gits", "gits_l2")})
    arguments = ["reproduce", "peers", "--quick", "--out", str(tmp_path)]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "| best grid known | 0.0369 | 1.00 |" in table
    assert table.count("**") == 2
    rows = [line.split(" | ") for line in table.splitlines() if line.count("|") == 7][3:]
    ratios = [float(row[2]) for row in rows]
    assert ratios == sorted(ratios)
    assert "| gits_l2 | " in table
    assert "| gits | " not in table  # in one dimension it is undefined
    records = (tmp_path / "peers" / "results.jsonl").read_text()
    assert main(arguments) == 0  # all records exist, so nothing is computed again
    assert (tmp_path / "peers" / "results.jsonl").read_text() == records
