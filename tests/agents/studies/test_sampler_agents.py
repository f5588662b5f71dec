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
    heads, rows = rows[0], [row for row in rows if row[0] not in ("task", "K")]
    assert heads[2:5] == ["score", "of that, the search alone", "without a search"]
    agents = [row for row in rows if row[1] == "ppo"]
    assert len(agents) == 2  # the range, and one K
    assert all(float(cell) < 1.05 for row in agents for cell in row[2:5])
    searches = {row[1]: row for row in rows if row[1] != "ppo"}
    assert set(searches) == {"CMA-ES", "Gauss-Newton"}
    assert all(row[3] == row[4] == "–" for row in searches.values())
    assert text.strip() == (tmp_path / "sampler_agents" / "table.md").read_text().strip()
    records = (tmp_path / "sampler_agents" / "results.jsonl").read_text()
    assert sampler_agents(tmp_path, (0,), quick=True) == text  # nothing is computed again
    assert (tmp_path / "sampler_agents" / "results.jsonl").read_text() == records
