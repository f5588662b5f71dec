"""Budgets of `art-gym learn`: how to type them, and how they are kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from art_gym.agents.learn import budget, cost, noises
from art_gym.agents.learn.budget import Budget, BudgetSpent, Metered
from art_gym.agents.learn.learner import Learner
from art_gym.agents.learn.trial import Trial
from art_gym.denoisers import FunctionDenoiser
from art_gym.schedules import Schedule
from art_gym.solvers.base import get_solver
from art_gym.tasks.registry import get_task


@pytest.mark.parametrize(
    ("text", "seconds", "evaluations"),
    [("90s", 90, np.inf), ("10m", 600, np.inf), ("1.5h", 5400, np.inf), ("200000NFE", np.inf, 200000)],
)
def test_budgets(text: str, seconds: float, evaluations: float) -> None:
    assert Budget.parse(text) == Budget(seconds, evaluations)


@pytest.mark.parametrize("text", ["ten minutes", "10", "0s", "-5m"])
def test_bad_budgets(text: str) -> None:
    with pytest.raises(ValueError, match=r"write it as 90s, 10m, 1\.5h or 200000nfe"):
        Budget.parse(text)


def test_meter_stops() -> None:
    shares: list[float] = []
    metered = Metered(get_task("gaussian_1d"), Budget(evaluations=10), lambda: shares.append(metered.share))
    x, sigma = np.ones((6, 1)), np.ones(6)
    metered(x, sigma)
    metered(x, sigma)
    with pytest.raises(BudgetSpent):
        metered(x, sigma)
    assert metered.evaluations == 12
    assert shares == [0.6, 1.2]


def test_small_budget_leaves_the_closed_form(tmp_path: Path) -> None:
    learner = Learner(
        get_task("gaussian_1d"), "mine", 5, "euler", Budget(evaluations=2000), tmp_path / "s.json", progress=False
    )
    for kind in ("samples", "progress"):
        (tmp_path / f"s_{kind}.png").touch()  # from an earlier run
    report = learner.run()
    assert "This is the closed form alone" in report
    assert "Give at least 20,160 evaluations, which take" in report
    assert "closed form until" in report
    assert "precise endpoints until" in report
    assert [line for line in report.splitlines() if line.startswith("![")] == ["![schedules](s_schedules.png)"]
    assert Schedule.load(tmp_path / "s.json").method == "ART closed form"


def test_as_many_noises_as_the_budget_pays_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On most machines a batch takes hardly longer than a sample, so the speed of small batches says nothing."""
    now = [0.0]
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        now[0] += 0.002
        return x / (1 + sigma[:, None] ** 2)

    task = FunctionDenoiser(slow, (2,), data_std=1.0)
    learner = Learner(task, "mine", 5, "euler", Budget(seconds=5), tmp_path / "s.json", progress=False)
    learner._closed_form()
    sets = learner._noises()
    assert sum(len(part.start) for part in sets) >= 3 * noises.CHUNK  # five or six chunks of about 0.25 s
    assert learner.meter.share < 0.6


@pytest.mark.parametrize(
    ("budget", "steps", "said"),
    [
        (
            Budget(evaluations=100_000),
            6,
            "precise endpoints of 128 noises (189 each) and 154 candidates on the 76 to fit on",
        ),
        (
            Budget(evaluations=100_000),
            6,
            "pay for 38 of them: choose at most a sampler (weights and told levels of 3 call",
        ),
        (
            Budget(evaluations=21_000),
            6,
            "pay for 9 of them: choose at most a sampler (two shared factors), which has 7",
        ),
        (Budget(evaluations=21_000), 30, "they pay for 9, fewer than a schedule has (29)"),
        (Budget(seconds=64.0), 6, "a call takes 2 s for 32 noises, so the budget buys about 1,024 evaluations"),
        (Budget(seconds=64.0), 6, "too few for a comparison, which needs 20,160, about 1,260 s"),
    ],
)
def test_what_a_budget_buys(budget: Budget, steps: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        now[0] += len(x) / 16
        return x / (1 + sigma[:, None] ** 2)

    task = FunctionDenoiser(slow, (2,), data_std=1.0)
    trial = Trial(task, Metered(task, budget), get_solver("dpmpp_2m"))
    assert said in cost.cost_of(trial, noises.Draws.of(task, 0), steps, np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.0, -0.1])
@pytest.mark.parametrize("limit", ["90s", "200000nfe"])
def test_no_share_of_a_budget_pays_for_nothing(share: float, limit: str) -> None:
    metered = Metered(get_task("gaussian_1d"), Budget.parse(limit), lambda: None)
    metered(np.ones((6, 1)), np.ones(6))
    assert metered.affordable(share) == 0
