"""Training where a classifier judges: the best policy is the one with the least cost, and the report says so."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from art_gym.agents.jobs.train import train_and_report
from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.runs.folder import Run
from art_gym.agents.training import agents, policies, progress
from art_gym.agents.training.searches import train_search
from art_gym.agents.training.setup import Setup
from art_gym.evaluation.heldout import evaluate_plan, evaluate_policy

ENV = "ARTDiffusion-Guidance-v0"
NOISES = 256  # held out: their endpoints are shipped


def few_noises(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluator(setup: Setup, model: object) -> policies.Evaluator:
        policy = policies.policy_of(model)
        return lambda k, *_, **__: evaluate_policy(policy, setup.env_config, k, NOISES, distances=False)

    for module in (agents, progress):
        monkeypatch.setattr(module, "evaluator", evaluator)
    monkeypatch.setattr(policies, "evaluate_plan", partial(evaluate_plan, count=NOISES))
    monkeypatch.setattr(progress, "EVALUATIONS", 2)


def test_training_lowers_the_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_noises(monkeypatch)
    run = Run(tmp_path / "run")
    text = train_and_report(TrainConfig(ENV, "ppo", env={"noises": 256}, n_timesteps=640), run, False, False)
    assert (run.folder / "report.md").read_text() == text
    setup = Setup.resolve(run.config())
    assert not setup.searches
    assert setup.env_config.action == "guidance"
    costs = [point.errors[5] for point in run.history()]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| 5")]
    assert [row[1] for row in rows] == ["policy", "its mean grid, w = 1"]
    assert float(rows[0][2]) == pytest.approx(min(costs), abs=1e-3)  # of the best policy, on the same noises here
    assert len(rows[0][6].split()) == 5
    assert rows[1][6] == "–"
    assert (run.folder / "training.png").exists()


def test_searches_for_endpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cma searches grids by their endpoints.*train an agent such as ppo"):
        train_search(TrainConfig(ENV, "cma"), Run(tmp_path / "run"))
