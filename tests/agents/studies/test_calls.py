"""The study of cost: a budget that pays for no endpoints begins nothing, and more never costs more than it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_gym.agents.studies import calls
from art_gym.agents.studies.calls import BEGUN, FITTED, endpoint_cost, fitted
from art_gym.denoisers.base import Counted
from art_gym.tasks.noise_bank import precise_endpoints
from art_gym.tasks.registry import get_task


def test_the_cost_of_an_endpoint_is_what_is_counted() -> None:
    counted = Counted(get_task("ring_2d"))
    precise_endpoints(counted, calls.Target.of("ring_2d").noises("train", 4)[0][:4])
    assert counted.evaluations == 4 * endpoint_cost(counted)


@pytest.mark.parametrize("name", FITTED)
def test_a_small_budget_begins_nothing(name: str) -> None:
    assert fitted("digits", name, 1000, 0)["error"] is None


def test_searches_cost_about_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(calls.TASKS, "mixture_1d", 256)
    for name in ("cma", "defect"):
        found = fitted("mixture_1d", name, 20_000, 0)
        assert found["evaluations"] <= 1.5 * 20_000
        assert found["error"] < 0.1


def test_an_agent_is_shown_beside_the_schedule_that_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(calls.TASKS, "mixture_1d", 256)
    found = fitted("mixture_1d", BEGUN, 10_000, 0)
    assert found["start_error"] == pytest.approx(calls.probed("mixture_1d", "instant")["error"], rel=0.01)
    assert calls._cell([found]).endswith(f"(began with {found['start_error']:.4f})")


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "TASKS", {"mixture_1d": 256})
    text = calls.calls(tmp_path, (0,), quick=True)
    assert "### mixture_1d" in text
    assert "From at most 1,000 evaluations" in text
    assert (tmp_path / "calls" / "mixture_1d.png").exists()
