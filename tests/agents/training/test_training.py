"""Training from end to end on the task that every agent must solve, and the files in the run's folder."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

import art_gym
from art_gym.agents.jobs.evaluate import evaluate_things
from art_gym.agents.jobs.train import train_and_report
from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.runs.folder import Run
from art_gym.agents.runs.outcome import Outcome
from art_gym.agents.training.agents import train_agent
from art_gym.agents.training.checkpoint import load_model
from art_gym.agents.training.policies import load_evaluator, load_policy, policy_of
from art_gym.agents.training.run import train
from art_gym.agents.training.setup import Setup
from art_gym.evaluation.heldout import VALIDATION, evaluate_plan
from art_gym.schedules import Schedule, make_grid
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

EULER = {"solver": "euler", "num_steps": 5, "observation": ["time"]}


def gaussian(seed: int = 0, steps: int = 24_000, **env: object) -> TrainConfig:
    return TrainConfig("ARTDiffusion-Gaussian1D-v0", "ppo", seed, env={**EULER, **env}, n_timesteps=steps)


@pytest.mark.slow
def test_ppo_finds_the_arctan_optimum(trained: tuple[Run, Outcome]) -> None:
    _, outcome = trained
    best = evaluate_plan(Target.of("gaussian_1d", "euler"), make_grid("arctan", 5, get_task("gaussian_1d"))).error
    edm = evaluate_plan(Target.of("gaussian_1d", "euler"), make_grid("edm", 5, get_task("gaussian_1d"))).error
    found = outcome.as_grid[5].error
    assert found < 1.03 * best
    assert found < 0.5 * edm


def test_a_policy_of_time_alone_is_exported_as_the_exact_grid(trained: tuple[Run, Outcome]) -> None:
    _, outcome = trained
    assert outcome.as_policy[5].spread < 1e-9
    assert outcome.as_policy[5].error == pytest.approx(outcome.as_grid[5].error, rel=1e-4)


def test_its_policy_samples(trained: tuple[Run, Outcome]) -> None:
    run, outcome = trained
    noise = np.random.default_rng(0).standard_normal((128, 1))
    samples, sigmas = art_gym.sample(get_task("gaussian_1d"), load_policy(run.folder, 5), noise, "euler")
    np.testing.assert_allclose(sigmas[0], outcome.plans[5].sigmas, rtol=1e-6)
    grid = art_gym.sample(get_task("gaussian_1d"), outcome.plans[5], noise, "euler")
    np.testing.assert_allclose(samples, grid.samples, rtol=1e-4, atol=1e-5)
    for wrong, message in ((6, "be 5, as configured, got 6"), ("5", "be a whole number, got '5'")):
        with pytest.raises(ValueError, match=rf"num_steps of the policy in .* must {message}"):
            load_policy(run.folder, wrong)


def test_a_policy_and_its_grid_are_evaluated_on_the_same_noises(trained: tuple[Run, Outcome]) -> None:
    run, _ = trained
    lines = evaluate_things([str(run.folder)], None, None, 100).splitlines()  # in populations of 64
    policy, grid = (
        next(line for line in lines if f"({name}), 64 noises |" in line) for name in ("policy", "its mean grid")
    )
    assert policy.split("|")[3] == grid.split("|")[3]  # error and interval are equal, because it observes time alone
    assert any("| EDM ρ=7 |" in line for line in lines)
    assert lines[0] == "gaussian_1d, euler, held-out noises: 100 (fewer where a row says so, to fill whole populations)"


def test_a_report_says_on_how_many_noises_a_policy_was_measured(tmp_path: Path) -> None:
    config = TrainConfig("ARTDiffusion-Gaussian1D-v0", "ppo", 0, {"num_steps": 2, "population": 96}, n_timesteps=100)
    report = train_and_report(config, Run(tmp_path / "run"), resume=False, progress=False)
    assert "Held-out noises: 2048 (fewer where a row says so, to fill whole populations)." in report
    assert "| ppo, policy, 2016 noises |" in report
    assert "| **ppo** |" in report


def test_reports_and_tables_name_what_is_scored_without_learning(tmp_path: Path) -> None:
    report = train_and_report(gaussian(steps=100), Run(tmp_path / "run"), resume=False, progress=False)
    for text in (report, evaluate_things(["edm:5"], "gaussian_1d", "euler", 256)):
        (still,) = [line.split("|") for line in text.splitlines() if "| action 0 |" in line]
        (random,) = [line.split("|") for line in text.splitlines() if "| random actions |" in line]
        assert float(still[-4]) == pytest.approx(0.32, abs=0.02)
        assert float(random[-4]) < 0


def test_folder_of_a_run(trained: tuple[Run, Outcome]) -> None:
    run, outcome = trained
    schedule = Schedule.load(run.folder / "schedule_K5.json")
    assert schedule == outcome.plans[5]
    assert (schedule.task, schedule.solver, schedule.method, schedule.seed) == ("gaussian_1d", "euler", "ppo", 0)
    assert schedule.heldout_error == outcome.as_grid[5].error
    config = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert config["resolved"]["gamma"] == 1.0
    assert run.config() == gaussian()
    history = run.history()
    assert len(history) >= 30
    assert history[-1].evaluations == history[-1].steps * 64 + 16 * 64  # one call per step, and one per reset
    assert all(a.steps < b.steps and a.seconds < b.seconds for a, b in pairwise(history))


def test_best_model_is_the_one_that_is_kept(trained: tuple[Run, Outcome]) -> None:
    run, _ = trained
    _, evaluate = load_evaluator(run)
    error = evaluate(5, 512, VALIDATION).error
    assert error == pytest.approx(min(point.errors[5] for point in run.history()), rel=1e-5)


def test_tensorboard_tags(trained: tuple[Run, Outcome]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    run, _ = trained
    (folder,) = run.tensorboard.iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    expected = {"art/heldout_error/K5", "art/score/K5", "art/steps_saved/K5", "rollout/ep_rew_mean", "train/loss"}
    assert expected <= set(tags["scalars"])
    assert "art/schedule/K5" in tags["images"]
    logged = [event.value for event in events.Scalars("art/heldout_error/K5")]
    np.testing.assert_allclose(logged, [point.errors[5] for point in run.history()], rtol=1e-5)


@pytest.mark.parametrize("algo", ["ppo", "gradient"])
def test_hparams_tell_runs_apart(algo: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    run = Run(tmp_path / "run")
    hyperparams = {"policy_kwargs.net_arch": "[8]"} if algo == "ppo" else {}
    config = TrainConfig("gaussian_1d", algo, 3, {"num_steps": [2, 3]}, hyperparams, n_timesteps=300)
    train(config, run, resume=False, progress=False)
    (folder,) = run.tensorboard.iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    assert found["algo"].string_value == algo
    assert found["seed"].number_value == 3
    assert found["env.task"].string_value == "gaussian_1d"
    assert found["env.num_steps"].string_value == "[2, 3]"
    assert found["n_timesteps"].number_value == 300
    if algo == "ppo":
        assert found["policy_kwargs.net_arch"].string_value == "[8]"
        assert found["num_envs"].number_value > 1


def test_same_seed_same_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("art_gym.agents.training.progress.EVALUATIONS", 3)
    schedules = [
        train(gaussian(seed, 2_000), Run(tmp_path / f"{index}"), False, False).plans[5].sigmas
        for index, seed in enumerate((3, 3, 4))
    ]
    assert schedules[0] == schedules[1]
    assert schedules[0] != schedules[2]


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_resume_goes_on_where_the_checkpoint_is(tmp_path: Path, algo: str) -> None:
    run = Run(tmp_path / algo)
    config = TrainConfig("ARTDiffusion-Gaussian1D-v0", algo, 0, env=EULER, n_timesteps=1_500)
    short = Setup.resolve(config)
    train_agent(config, run, progress=False)
    before = run.history()
    model = short.make_model()
    load_model(model, run.folder / "checkpoint.pt")
    assert model.num_timesteps == before[-1].steps >= 1_500
    if algo == "sac":
        assert model.replay_buffer.pos * model.n_envs == before[-1].steps
    train_agent(config, run, resume=True, progress=False)  # nothing is left to do, so history and checkpoint stay
    assert run.history() == before


def test_an_activation_by_name() -> None:
    config = TrainConfig("ARTDiffusion-Gaussian1D-v0", "ppo", 0, EULER, {"policy_kwargs.activation_fn": "ReLU"}, 800)
    layers = Setup.resolve(config).make_model().policy.mlp_extractor.policy_net
    assert any(type(layer).__name__ == "ReLU" for layer in layers)


@pytest.mark.parametrize("algo", ["td3", "ddpg"])
def test_policies_that_do_not_explore_by_themselves_have_noise(algo: str) -> None:
    model = Setup.resolve(TrainConfig("ARTDiffusion-Gaussian1D-v0", algo, 0, EULER, n_timesteps=800)).make_model()
    model.learn(800)
    actions = model.replay_buffer.actions[: model.replay_buffer.pos]  # (rounds, E, 1)
    assert 0.03 < actions[-10:].std(axis=1).mean() < 0.2


def test_a_policy_for_a_range_of_budgets_has_a_schedule_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("art_gym.agents.training.progress.EVALUATIONS", 3)
    config = gaussian(steps=2_000, num_steps=[4, 8])
    outcome = train(config, Run(tmp_path / "run"), resume=False, progress=False)
    assert {k: schedule.num_steps for k, schedule in outcome.plans.items()} == {4: 4, 5: 5, 7: 7, 8: 8}


@pytest.mark.parametrize("algo", ["a2c", "trpo", "tqc", "td3", "ddpg", "crossq", "recurrentppo", "ars"])
def test_any_class_for_continuous_actions_trains_by_name(
    tmp_path: Path, algo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("art_gym.agents.training.progress.EVALUATIONS", 2)
    config = TrainConfig(
        "ARTDiffusion-Gaussian1D-v0", algo, 0, env={"solver": "euler", "num_steps": 2}, n_timesteps=300
    )
    outcome = train(config, Run(tmp_path / algo), resume=False, progress=False)
    assert outcome.plans[2].method == algo
    assert np.isfinite(outcome.as_policy[2].error)


def test_a_recurrent_policy_begins_afresh_with_each_rollout() -> None:
    env = {"solver": "euler", "num_steps": 3, "population": 2}
    model = Setup.resolve(
        TrainConfig("ARTDiffusion-Gaussian1D-v0", "recurrentppo", 0, env, n_timesteps=64)
    ).make_model()
    policy = art_gym.AdaptivePolicy(policy_of(model), art_gym.load_config("gaussian_1d", **env), 3)
    noise = np.random.default_rng(0).standard_normal((8, 1))
    copy = dataclasses.replace(policy, policy=pickle.loads(pickle.dumps(policy.policy)))
    first, again, fewer = (art_gym.sample("gaussian_1d", policy, noise[:rows], "euler").sigmas for rows in (8, 8, 4))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, art_gym.sample("gaussian_1d", copy, noise, "euler").sigmas)
    np.testing.assert_allclose(first[:4], fewer, rtol=1e-5)
