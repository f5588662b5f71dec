"""The study of agents that choose all of a step: its table says what the search alone gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_gym.agents.studies.sampler_agents import sampler_agents
from art_gym.agents.training import sampler_start


def test_tables_keep_the_search_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_start, "FIT_STEPS", 100)
    text = sampler_agents(tmp_path, (0,), quick=True)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    measures = ["score", "of that, the search alone", "without a search", "evaluations", "seconds"]
    assert rows[0] == ["task", "method", *measures]  # the range
    assert rows[2] == ["task", "K", "method", *measures]  # one K
    found = {row[-6]: row[-5:-2] for row in (rows[1], *rows[3:])}
    assert [row[-6] for row in (rows[1], *rows[3:])] == ["ppo", "ppo", "CMA-ES", "Gauss-Newton"]
    assert all(float(cell) < 1.05 for cell in found["ppo"])
    assert found["CMA-ES"][1:] == found["Gauss-Newton"][1:] == ["–", "–"]
    assert text.strip() == (tmp_path / "sampler_agents" / "table.md").read_text().strip()
    records = (tmp_path / "sampler_agents" / "results.jsonl").read_text()
    assert sampler_agents(tmp_path, (0,), quick=True) == text  # nothing is computed again
    assert (tmp_path / "sampler_agents" / "results.jsonl").read_text() == records
