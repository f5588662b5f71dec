"""`art-gym learn` finds a better schedule with proof, within its budget, whenever it stops."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.agents.cli.main import main
from art_gym.agents.learn import first_calls, searches
from art_gym.agents.learn.book import Book
from art_gym.agents.learn.budget import Budget, BudgetSpent, Metered
from art_gym.agents.learn.learner import Learner
from art_gym.agents.learn.report import Proof
from art_gym.agents.learn.trial import Noises, Trial
from art_gym.agents.reports import pictures
from art_gym.agents.reports.comparison import label
from art_gym.agents.training.hyperparams import load_hyperparams
from art_gym.denoisers import FunctionDenoiser
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules import Schedule, make_grid
from art_gym.search.gauss_newton import GaussNewton
from art_gym.solvers.base import get_solver
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


def nothing_found(*_: object) -> Iterator[None]:
    """A search that ends without a candidate."""
    yield from ()
    return []


@pytest.mark.parametrize("solver", ["dpmpp_2m", "heun"])
def test_learns_within_a_budget_of_evaluations(solver: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "schedule.json"
    arguments = ["learn", "--task", "ring_2d", "--steps", "6", "--solver", solver, "--budget", "600000nfe"]
    assert main([*arguments, "-o", str(out), "--no-progress"]) == 0
    report = capsys.readouterr().out
    assert "learned is better on" in report
    assert "the budget was spent" in report
    stages = ("closed form", "precise endpoints", "hand-made grids", "closed forms", "Gauss-Newton")
    assert [report.index(f"{stage} until") for stage in stages] == sorted(report.index(f"{s} until") for s in stages)
    assert "| ART closed form |" in report
    assert "| EDM, tuned |" in report
    assert ("| instant |" in report) == (solver == "dpmpp_2m")
    assert "did not pay for EDM's" not in report
    assert "The precise endpoints themselves are" in report
    assert "say little" not in report
    assert "steps for what the learned schedule does in 6: " in report or "EDM does not reach in 24 steps" in report
    schedule = Schedule.load(out)
    assert schedule.num_steps == 6
    assert schedule.task == "ring_2d"
    assert schedule.heldout_error is not None
    learned = evaluate_plan(Target.of("ring_2d", solver), schedule).error
    hand_made = [
        evaluate_plan(Target.of("ring_2d", solver), make_grid(name, 6, get_task("ring_2d"))).error
        for name in ("edm", "cosine", "arctan", "log_snr")
    ]
    assert learned < 0.9 * min(hand_made)
    assert schedule.heldout_error == pytest.approx(learned, rel=0.25)  # on other noises
    assert {file.name for file in tmp_path.iterdir()} == {
        "schedule.json",
        "schedule_report.md",
        "schedule_schedules.png",
        "schedule_samples.png",
        "schedule_progress.png",
        *(["schedule_sampler.json", "schedule_sampler.png"] if solver == "dpmpp_2m" else []),
    }


def test_endpoints_that_are_not_precise_are_said(tmp_path: Path) -> None:
    def rough(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.sin(300 * np.log(sigma))[:, None] * np.tanh(x)

    learner = Learner(
        FunctionDenoiser(rough, (2,)), "rough", 5, "euler", Budget(evaluations=60_000), tmp_path / "s.json"
    )
    report = learner.run()
    warned = report.index("errors that are not much larger say little")
    assert warned < report.index("Mean endpoint error on")
    assert "EDM" not in report[:warned]
    for headline in ("EDM needs", "EDM does not reach", "EDM's grid is as good"):
        assert headline not in report


def test_the_faster_number_of_threads_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    before, now = torch.get_num_threads(), [0.0]
    monkeypatch.setattr(first_calls, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def call(slow: int) -> None:
        now[0] += 2.0 if torch.get_num_threads() == slow else 1.0

    try:
        for slow in (1, 2):
            torch.set_num_threads(2)
            first_calls.choose_threads(partial(call, slow))
            assert torch.get_num_threads() == 3 - slow
    finally:
        torch.set_num_threads(before)


def test_a_report_without_the_tuned_grid_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "FEWEST_TUNED", 2000)
    budget, out = Budget(evaluations=60_000), tmp_path / "s.json"
    report = Learner(get_task("gaussian_1d"), "mine", 5, "euler", budget, out, progress=False).run()
    assert "| EDM ρ=7 |" in report
    assert "| EDM, tuned |" not in report
    assert "The budget did not pay for EDM's grid with its parameters tuned" in report


@pytest.mark.parametrize("agent", ["ppo", "art_rl"])
def test_an_agent_goes_on_where_gauss_newton_stops(agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad start leaves room to improve. The agent's grids are offered under its name."""
    monkeypatch.setattr(searches, "screening", nothing_found)
    monkeypatch.setattr(searches, "art", lambda denoiser, num_steps, start: make_grid("edm", num_steps, denoiser))
    monkeypatch.setattr(searches, "HAND_MADE", ("edm",))
    monkeypatch.setattr(searches, "DUAL_FORMS", {})
    budget = Budget(evaluations=300_000)
    learner = Learner(
        get_task("gaussian_1d"), "mine", 4, "euler", budget, tmp_path / "s.json", progress=False, agent=agent
    )
    assert f"| {agent} |" in learner.run()
    assert Schedule.load(tmp_path / "s.json").method == agent
    edm, best = learner.book.history[0].error, learner.book.history[-1].error
    assert best < 0.8 * edm
    assert learner.meter.evaluations < 1.01 * budget.evaluations + 200_000  # the report comes on top


def test_an_agent_that_diverges_ends_in_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(*given: Any) -> dict[str, Any]:
        return {**load_hyperparams(*given), "gamma": float("nan")}

    monkeypatch.setattr("art_gym.agents.training.setup.load_hyperparams", diverging)
    monkeypatch.setattr("art_gym.agents.training.setup.check_values", lambda values: None)  # it refuses NaN at once
    monkeypatch.setattr(searches, "screening", nothing_found)
    out = tmp_path / "s.json"
    learner = Learner(
        get_task("gaussian_1d"), "mine", 4, "euler", Budget(evaluations=200_000), out, progress=False, agent="ppo"
    )
    report = learner.run()
    assert "the network of PPO gave NaN" in report
    assert "| EDM ρ=7 |" in report
    assert report == (tmp_path / "s_report.md").read_text()
    assert Schedule.load(out).heldout_error is not None


@pytest.mark.parametrize("decoded", [False, True])
def test_the_same_noises_are_drawn_by_three_ways(
    decoded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without channels that carry a condition, and as images if the model decodes its latents."""
    drawn: dict[str, np.ndarray] = {}
    monkeypatch.setattr(pictures, "samples", lambda file, panels, data=None: drawn.update(panels))
    model = copy(get_task("digits_class"))
    if decoded:
        model.decode = lambda x: 1 - np.repeat(x, 2, axis=-1)
    trial = Trial(model, Metered(model, Budget()), get_solver("euler"))
    start = 40 * np.random.default_rng(0).standard_normal((3, *model.shape)).astype(np.float32)
    noises = Noises(start, np.ones_like(start))
    grids = {label(name): make_grid(name, 4, model) for name in ("edm", "cosine", "arctan")}
    grids["learned"] = grids.pop("arctan")
    Proof(trial, noises, grids).draw(tmp_path / "samples.png")
    assert list(drawn) == ["EDM ρ=7, K = 4", "learned, K = 4", "precise"]
    expected = [integrate(model, grids[name], start, "euler") for name in ("EDM ρ=7", "learned")] + [noises.endpoints]
    for found, latents in zip(drawn.values(), expected, strict=True):
        np.testing.assert_array_equal(found, model.decode(latents[:, :1]) if decoded else latents[:, :1])


def test_a_schedule_that_is_known_for_the_model_is_drawn_from_its_own_first_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, np.ndarray] = {}
    monkeypatch.setattr(pictures, "samples", lambda file, panels, data=None: drawn.update(panels))
    model = get_task("digits_class")  # the condition that a noise carries must stay
    trial = Trial(model, Metered(model, Budget()), get_solver("euler"))
    start = 40 * np.random.default_rng(0).standard_normal((3, *model.shape)).astype(np.float32)
    low = np.array([model.sigma_max / 4, 1.0, 0.0])
    grids = {"EDM ρ=7": make_grid("edm", 2, model), "own schedule (PNDM)": low, "learned": low}
    Proof(trial, Noises(start, start), grids, published=("own schedule (PNDM)",)).draw(tmp_path / "samples.png")
    assert list(drawn) == ["EDM ρ=7, K = 2", "own schedule, K = 2", "learned, K = 2", "precise"]
    begun = start.copy()
    begun[:, 0] /= 4
    np.testing.assert_array_equal(drawn["own schedule, K = 2"], integrate(model, low, begun, "euler")[:, :1])


def test_dual_weighted_closed_forms_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GaussNewton, "improving", lambda self, logits, steps: nothing_found())
    monkeypatch.setattr(searches, "screening", nothing_found)
    monkeypatch.setattr(searches, "HAND_MADE", ("edm",))
    drawn: dict[str, object] = {}
    monkeypatch.setattr(
        pictures, "training_curve", lambda file, steps, errors, _, x_label, **options: drawn.update(x=x_label)
    )
    offered: list[str] = []
    keep = Book.offer
    monkeypatch.setattr(
        Book, "offer", lambda self, method, plan, **below: (offered.append(method), keep(self, method, plan, **below))
    )

    def stop(*_: object, **__: object) -> object:
        raise BudgetSpent

    monkeypatch.setattr(searches, "evolve", stop)
    budget = Budget(evaluations=1_000_000)
    task = get_task("gaussian_1d")
    learner = Learner(task, "gaussian_1d", 6, "euler", budget, tmp_path / "s.json", progress=False)
    learner.run()
    assert set(searches.DUAL_FORMS) <= set(offered)
    assert learner.book.history[-1].method in searches.DUAL_FORMS  # near the optimum for Euler on a Gaussian
    assert drawn == {"x": "seconds"}
