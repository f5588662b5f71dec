"""The study of agents that see the sample whose steps they choose."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_gym.agents.studies.sampler_sight import sampler_sight
from art_gym.agents.training import sampler_start


def test_twins_begin_with_the_same_sampler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_start, "FIT_STEPS", 1500)
    text = sampler_sight(tmp_path, (0,), quick=True)
    heads, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    found = {row[1]: dict(zip(heads, row, strict=True)) for row in rows[1:]}
    twins = ("sees the latents", "blind")
    assert set(found) == {*twins, *(f"{name}, no search" for name in twins)}
    begun = [float(found[name]["of that, Gauss-Newton alone"]) for name in twins]
    assert begun[0] == pytest.approx(begun[1], abs=0.02)
    for name, start in zip(twins, begun, strict=True):
        row, alone = found[name], found[f"{name}, no search"]
        assert alone["of that, Gauss-Newton alone"] == "–"
        assert float(alone["score"]) < 1
        assert start - 0.05 < float(row["score"]) < 1.1  # the best on validation noise is kept
    assert text.strip() == (tmp_path / "sampler_sight" / "table.md").read_text().strip()
