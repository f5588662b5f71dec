"""`art-gym learn` finds a sampler beside the schedule, says what it gains, and writes none that is worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.learn import learner as learn
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
from art_gym.agents.learn.searches import Quest, Tried
from art_gym.denoisers.mixture import GaussianMixture
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.evaluation.sampling import sample
from art_gym.samplers.sampler import Sampler
from art_gym.schedules import Schedule
from art_gym.schedules.fine import reference_grid
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


def learner(task: object, out: Path, budget: float = 400_000) -> Learner:
    return Learner(task, "ring_2d", 5, "dpmpp_2m", Budget(evaluations=budget), out, progress=False)  # type: ignore[arg-type]


def test_a_sampler_is_better_than_the_schedule(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "s.json"
    arguments = ["learn", "--task", "ring_2d", "--steps", "5", "--budget", "400000nfe", "--no-progress", "-o", str(out)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    schedule, sampler = Schedule.load(out), Sampler.load(tmp_path / "s_sampler.json")
    target = Target.of("ring_2d")
    ours, theirs = (evaluate_plan(target, plan, distances=False).error for plan in (sampler, schedule))
    assert ours < 0.6 * theirs
    assert sampler.heldout_error == pytest.approx(ours, rel=0.5)  # on other noises
    assert (sampler.task, sampler.solver, sampler.seed) == ("ring_2d", "dpmpp_2m", 0)
    assert sampler.method.startswith("sampler, ")
    assert "% less error than the learned schedule" in said
    assert "for what the learned sampler does in 5" in said or "what the learned sampler does in 5." in said
    assert "s.json, s_sampler.json, s_report.md" in said
    assert main(arguments) == 2  # neither file is replaced


def test_a_sampler_that_is_worse_on_other_noises_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was lucky on the selection noises."""
    task = get_task("ring_2d")

    def lucky(quest: Quest, until: float) -> list[Tried]:
        bad = Sampler.of(np.array([task.sigma_max, 5.0, 1.0, 0.3, 0.1, 0.0]), "euler").coefficients()
        return [Tried("sampler, lucky", bad)]

    monkeypatch.setattr(learn, "fitted_samplers", lucky)
    found = learner(task, tmp_path / "s.json")
    offer = found.samplers.offer
    monkeypatch.setattr(found.samplers, "offer", lambda method, plan, below: offer(method, plan))  # whatever its error
    report = found.run()
    assert "No sampler was better than the schedule here, so none is written" in report
    assert not (tmp_path / "s_sampler.json").exists()
    assert not (tmp_path / "s_sampler.png").exists()
    assert Schedule.load(tmp_path / "s.json").heldout_error is not None


def test_few_noises_and_many_numbers(tmp_path: Path) -> None:
    """With 19 noises to fit on, what is written is still better on noises that nothing has seen."""
    rng = np.random.default_rng(0)
    task = GaussianMixture(rng.standard_normal((6, 40)), 0.1)
    learner(task, tmp_path / "s.json", budget=25_000).run()
    noise = 80 * np.random.default_rng(99).standard_normal((512, 40))
    exact = integrate(task, reference_grid(task, 48), noise, "rk4")
    found = [Schedule.load(tmp_path / "s.json")]
    if (tmp_path / "s_sampler.json").exists():
        found.append(Sampler.load(tmp_path / "s_sampler.json"))  # type: ignore[arg-type]
    errors = [
        np.linalg.norm(sample(task, plan, noise / 80, "dpmpp_2m").samples - exact, axis=1).mean() for plan in found
    ]
    assert errors[-1] <= errors[0]


def test_no_sampler_for_a_solver_of_two_calls(tmp_path: Path) -> None:
    found = Learner(
        get_task("ring_2d"), "ring_2d", 4, "heun", Budget(evaluations=200_000), tmp_path / "s.json", progress=False
    )
    report = found.run()
    assert "sampler" not in report
    assert not (tmp_path / "s_sampler.json").exists()
