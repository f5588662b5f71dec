"""`art-gym learn`: a better schedule with proof, within its budget, whatever stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_gym.agents import learn
from art_gym.agents.budget import Budget, BudgetSpent, Metered
from art_gym.agents.cli import main
from art_gym.agents.learn import Learner
from art_gym.denoisers import FunctionDenoiser
from art_gym.evaluation import evaluate_levels
from art_gym.schedules import Schedule, make_grid
from art_gym.schedules.defect import GaussNewton
from art_gym.tasks import get_task


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
    metered = Metered(get_task("gaussian_1d"), Budget(evaluations=10))
    x, sigma = np.ones((6, 1)), np.ones(6)
    metered(x, sigma)
    metered(x, sigma)
    with pytest.raises(BudgetSpent):
        metered(x, sigma)
    assert metered.evaluations == 12


@pytest.mark.parametrize("solver", ["dpmpp_2m", "heun"])
def test_learns_within_a_budget_of_evaluations(solver: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "schedule.json"
    arguments = ["learn", "--task", "ring_2d", "--steps", "6", "--solver", solver, "--budget", "600000nfe"]
    assert main([*arguments, "-o", str(out), "--no-progress"]) == 0
    report = capsys.readouterr().out
    assert "learned is better on" in report and "the budget was spent" in report
    assert "% fewer" in report or "EDM does not reach in 24 steps" in report
    schedule = Schedule.load(out)
    assert schedule.num_steps == 6 and schedule.task == "ring_2d" and schedule.heldout_error is not None
    learned = evaluate_levels("ring_2d", solver, schedule).error
    hand_made = [
        evaluate_levels("ring_2d", solver, make_grid(name, 6, get_task("ring_2d"))).error
        for name in ("edm", "cosine", "arctan", "log_snr")
    ]
    assert learned < 0.9 * min(hand_made)
    assert schedule.heldout_error == pytest.approx(learned, rel=0.25)  # on noises of its own
    assert {file.name for file in tmp_path.iterdir()} == {
        "schedule.json",
        "schedule_report.md",
        "schedule_schedules.png",
        "schedule_progress.png",
    }


def test_small_budget_leaves_the_closed_form(tmp_path: Path) -> None:
    learner = Learner(
        get_task("gaussian_1d"), "mine", 5, "euler", Budget(evaluations=2000), tmp_path / "s.json", progress=False
    )
    assert "this is the closed form alone" in learner.run()
    assert Schedule.load(tmp_path / "s.json").method == "ART closed form"


@pytest.mark.parametrize("agent", ["ppo", "art_rl"])
def test_an_agent_goes_on_where_gauss_newton_stops(agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a bad start, so that there is something to improve: the agent's grids are offered, and its name stays."""
    monkeypatch.setattr(GaussNewton, "improve", lambda self, logits, steps: (np.inf, logits))
    monkeypatch.setattr(learn, "art", lambda denoiser, num_steps, start: make_grid("edm", num_steps, denoiser))
    monkeypatch.setattr(learn, "HAND_MADE", ("edm",))
    budget = Budget(evaluations=1_000_000)
    learner = Learner(
        get_task("gaussian_1d"), "mine", 4, "euler", budget, tmp_path / "s.json", progress=False, agent=agent
    )
    assert f"| {agent} |" in learner.run()
    assert Schedule.load(tmp_path / "s.json").method == agent
    edm, best = learner.history[0].error, learner.history[-1].error
    assert best < 0.8 * edm
    assert learner.denoiser.evaluations < 1.01 * budget.evaluations + 200_000  # the report is made on top


def test_interruption_keeps_the_best(tmp_path: Path) -> None:
    out = tmp_path / "s.json"
    command = [sys.executable, "-m", "art_gym.agents", "learn", "--task", "mixture_1d", "--budget", "10m"]
    process = subprocess.Popen([*command, "-o", str(out), "--no-progress"], stdout=subprocess.PIPE, text=True)
    deadline = time.time() + 60
    while not out.exists() and time.time() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    os.kill(process.pid, signal.SIGINT)
    report, _ = process.communicate(timeout=60)
    assert "it was interrupted" in report and process.returncode == 0
    assert Schedule.load(out).num_steps == 8


def test_bad_models(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for arguments, message in (
        (["--model", str(tmp_path / "none")], "no folder of a diffusers model"),
        (["--model", str(tmp_path / "network.pkl")], "is a pickle"),
        ([], "name either --model"),
        (["--task", "digits", "--steps", "1"], "choose at least 2"),
        (["--task", "digits", "--budget", "soon"], "cannot read the budget"),
        (["--task", "digits", "--agent", "ppa"], "unknown algorithm 'ppa'"),
    ):
        assert main(["learn", *arguments, "--no-progress", "-o", str(tmp_path / "s.json")]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_model_that_is_not_finite(tmp_path: Path) -> None:
    def broken(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.where(sigma[:, None] < 0.01, np.nan, x / (1 + sigma[:, None] ** 2))

    learner = Learner(
        FunctionDenoiser(broken, (2,)), "broken", 5, "euler", Budget(seconds=5), tmp_path / "s.json", progress=False
    )
    with pytest.raises(ValueError, match=r"not finite at sigma = 0\.002"):
        learner.run()


@pytest.mark.filterwarnings("ignore")
def test_learns_for_a_saved_diffusers_model(tmp_path: Path, tiny_model: Any) -> None:
    import diffusers

    diffusers.DDPMPipeline(tiny_model(), diffusers.DDPMScheduler()).save_pretrained(tmp_path / "pipeline")
    out = tmp_path / "schedule.json"
    arguments = ["learn", "--model", str(tmp_path / "pipeline"), "--steps", "4", "--budget", "12s", "-o", str(out)]
    assert main([*arguments, "--no-progress"]) == 0
    assert Schedule.load(out).num_steps == 4
