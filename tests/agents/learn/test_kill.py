"""`art-gym learn` goes on after a kill, with the same command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.learn import learner as module
from art_gym.agents.learn import noises
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
from art_gym.agents.learn.unfinished import unfinished_file
from art_gym.denoisers.base import Array, Denoiser
from art_gym.samplers import Sampler
from art_gym.schedules import Schedule
from art_gym.tasks.registry import get_task

BUDGET = 150_000
REPORT = 40_000  # more evaluations than the first calls of a run and its report take
SEARCHES = ("hand_made", "from_probe", "dual_forms", "gauss_newton", "fitted_samplers", "evolution")


@pytest.fixture(autouse=True)
def all_is_kept(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a slow model: endpoints, and at each call how far the run has come."""
    monkeypatch.setenv("ART_GYM_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(noises, "KEPT_FROM", -1.0)
    monkeypatch.setattr(module, "KEPT_EVERY", 0.0)


class Killed(BaseException):
    """Ends a run as a kill does: nothing catches it."""


class Mortal:
    """Ring2D that is killed when its calls have had so many evaluations."""

    fingerprint = "mortal"

    def __init__(self, until: float) -> None:
        self.model: Denoiser = get_task("ring_2d")
        self.until, self.evaluations = until, 0
        self.shape, self.data_std = self.model.shape, self.model.data_std
        self.sigma_min, self.sigma_max = self.model.sigma_min, self.model.sigma_max

    def __call__(self, x: Array, sigma: Array) -> Array:
        self.evaluations += len(x)
        if self.evaluations >= self.until:
            raise Killed
        return self.model(x, sigma)


def run(out: Path, until: float = np.inf, budget: int = BUDGET) -> tuple[str, int]:
    """The report and the evaluations of one command."""
    model = Mortal(until)
    report = Learner(model, "ring", 5, "dpmpp_2m", Budget(evaluations=budget), out, progress=False).run()
    return report, model.evaluations


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The searches that have begun."""
    names: list[str] = []

    def noted(name: str, search: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def searching(*arguments: Any) -> Iterator[Any]:
            names.append(name)
            yield from search(*arguments)

        return searching

    for name in SEARCHES:
        monkeypatch.setattr(module, name, noted(name, getattr(module, name)))
    return names


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.95])
def test_the_same_command_goes_on(share: float, tmp_path: Path, begun: list[str]) -> None:
    """No finished search runs again, and both runs together spend the budget once."""
    out = tmp_path / "s.json"
    with pytest.raises(Killed):
        run(out, share * BUDGET)
    first = begun.copy()
    kept = json.loads(unfinished_file(out).read_text())
    assert Schedule.load(out).sigmas == pytest.approx(kept["schedules"][-1]["plan"]["sigmas"])
    begun.clear()
    report, evaluations = run(out)
    assert [*first[:-1], *begun] == [*SEARCHES] or [*first, *begun] == [*SEARCHES]
    assert kept["evaluations"] + evaluations < BUDGET + REPORT
    assert not unfinished_file(out).exists()
    stages = (
        "closed form",
        "precise endpoints",
        "hand-made grids",
        "closed forms",
        "Gauss-Newton",
        "samplers",
        "CMA-ES",
    )
    assert all(f"{stage} until" in report for stage in stages)
    assert "learned is better on" in report
    assert Schedule.load(out).heldout_error is not None


def test_a_kill_during_the_report_costs_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[str]
) -> None:
    out = tmp_path / "s.json"

    def killed(*_: object) -> str:
        raise Killed

    write = module.write_report
    monkeypatch.setattr(module, "write_report", killed)
    with pytest.raises(Killed):
        run(out)
    monkeypatch.setattr(module, "write_report", write)
    found = Schedule.load(out), Sampler.load(out.with_name("s_sampler.json"))
    begun.clear()
    report, evaluations = run(out)
    assert not begun
    assert evaluations < REPORT
    assert (Schedule.load(out), Sampler.load(out.with_name("s_sampler.json"))) == found
    assert "| **learned sampler** |" in report
    assert "| ART closed form |" in report


def test_a_kill_that_nothing_survives(tmp_path: Path) -> None:
    """By the system's own signal, in the middle of a search."""
    out = tmp_path / "s.json"
    command = ["learn", "--task", "ring_2d", "--steps", "5", "-o", str(out), "--no-progress"]
    process = subprocess.Popen([sys.executable, "-m", "art_gym.agents", *command, "--budget", "10h"])
    while not (unfinished_file(out).exists() and "Gauss-Newton" in unfinished_file(out).read_text()):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "s_report.md").exists()
    spent = json.loads(unfinished_file(out).read_text())["evaluations"]
    assert main([*command, "--budget", f"{spent + 50_000}nfe"]) == 0  # with another budget too
    assert "learned is better on" in (tmp_path / "s_report.md").read_text()


def test_what_cannot_go_on_is_said(tmp_path: Path) -> None:
    out = tmp_path / "s.json"
    with pytest.raises(Killed):
        run(out, 0.5 * BUDGET)
    other = Learner, (get_task("mixture_1d"), "ring", 5, "dpmpp_2m", Budget(evaluations=BUDGET), out)
    with pytest.raises(ValueError, match=r"s_unfinished\.json is of an unfinished run with another model, K, solver"):
        other[0](*other[1], progress=False)
    content = unfinished_file(out).read_text()
    for damaged in ("", "[]", content[:-9], content.replace('"noises": ', '"noise": ')):
        unfinished_file(out).write_text(damaged)
        with pytest.raises(ValueError, match=r"s_unfinished\.json is damaged \(.*\): remove it to begin anew"):
            run(out)
    unfinished_file(out).unlink()
    with pytest.raises(ValueError, match=r"s\.json exists already"):
        run(out)


def test_a_run_that_found_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="before the closed form"):
        run(tmp_path / "s.json", budget=9)
    assert not list(tmp_path.iterdir())
