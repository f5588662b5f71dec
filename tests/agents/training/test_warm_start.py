"""The start of PPO: a search over fixed schedules, and a policy that plays what it has found."""

from __future__ import annotations

from pathlib import Path
from typing import Never

import numpy as np
import pytest
from stable_baselines3.common.base_class import BaseAlgorithm
from tqdm import tqdm

from art_gym.agents.reports.report import START, learned_rows
from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.runs.folder import Run
from art_gym.agents.training.agents import train_agent
from art_gym.agents.training.policies import evaluator
from art_gym.agents.training.progress import Bar, Progress
from art_gym.agents.training.setup import Setup
from art_gym.agents.training.warm_start import _Episodes, _interpolated, _phases, affordable_searches, cost, warm_start
from art_gym.envs.sb3 import ARTDiffusionVecEnv
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules import make_grid
from art_gym.tasks.references import find_reference, score
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

EULER = {"solver": "euler", "num_steps": 5}


def config(task: str = "Gaussian1D", steps: int = 200_000, **changes: object) -> TrainConfig:
    return TrainConfig(f"ARTDiffusion-{task}-v0", env=EULER, n_timesteps=steps, hyperparams=changes)


def episodes(lanes: int) -> _Episodes:
    env = ARTDiffusionVecEnv(lanes, "mixture_1d", solver="euler", num_steps=5)
    env.seed(0)
    return _Episodes(env, 5, np.random.default_rng(0), tqdm(disable=True))


@pytest.mark.parametrize("lanes", [1, 3, 7, 16])
def test_a_schedule_earns_what_it_earns_however_many_lanes_there_are(lanes: int) -> None:
    played = episodes(lanes)
    seen = []
    returns = played.play(np.repeat([[0.1] * 5, [-0.2] * 5], [4, 3], axis=0), same_noises=True, seen=seen)
    assert returns.shape == (7,)
    np.testing.assert_allclose(returns, np.repeat(returns[[0, 4]], [4, 3]), rtol=1e-5)  # the same noises
    assert returns[0] != returns[4]
    assert played.steps == 5 * lanes * -(-7 // lanes) == 5 * lanes * len(seen) // 5
    again = played.play(np.full((lanes, 5), 0.1))
    assert len(set(again.tolist())) == lanes  # different noises


def started(
    seed: int, algo: str = "ppo", changes: dict[str, str] | None = None, searches: int = 1, **env: object
) -> tuple[Setup, BaseAlgorithm]:
    config = TrainConfig("ARTDiffusion-Gaussian1D-v0", algo, seed, {**EULER, **env}, changes or {}, 200_000)
    setup = Setup.resolve(config)
    model = setup.make_model()
    warm_start(model, setup.budgets[0], searches, seed, progress=False)
    return setup, model


@pytest.mark.parametrize("algo", ["ppo", "a2c", "sac"])
def test_the_policy_plays_what_was_found(algo: str) -> None:
    setup, model = started(0, algo, {"policy_kwargs.log_std_init": "-3.5"})
    best = evaluate_plan(Target.of("gaussian_1d", "euler"), make_grid("arctan", 5, get_task("gaussian_1d"))).error
    assert evaluator(setup, model)(5).error < 1.03 * best
    assert model.num_timesteps == 5 * cost(1, 5, 16)
    head = model.actor.log_std.bias if algo == "sac" else model.policy.log_std
    assert head.item() == -3.5


def test_sac_plays_it_with_little_noise() -> None:
    _, model = started(0, "sac", {"policy_kwargs.log_std_init": "-3.5"})
    observation = model.get_env().reset()
    actions = np.concatenate([model.predict(observation)[0] for _ in range(20)], axis=1)  # (E, 20)
    assert 0.01 < actions.std(axis=1).mean() < 0.05  # e^−3.5 = .03, before the squashing


def test_same_seed_same_start() -> None:
    weights = [started(seed)[1].policy.action_net.weight.detach().numpy() for seed in (1, 1, 2)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.abs(weights[0] - weights[2]).max() > 1e-4


def test_raw_latents_are_cloned_too() -> None:
    setup, model = started(0, changes={"policy": "MultiInputPolicy"}, raw_latents=True, population=4)
    assert np.isfinite(evaluator(setup, model)(5, 64).error)


@pytest.mark.slow
def test_it_finds_the_narrow_valley_of_the_best_schedule() -> None:
    setup = Setup.resolve(TrainConfig("ARTDiffusion-Ring2D-v0", env={"solver": "dpmpp_2m", "num_steps": 5}))
    model = setup.make_model()
    warm_start(model, 5, setup.searches, 0, progress=False)
    assert setup.searches == 16
    reference = find_reference(Target.of("ring_2d", "dpmpp_2m"), 5)
    assert score(evaluator(setup, model)(5).error, reference) > 0.9  # it is .86 from other grids


def test_training_goes_on_from_it_and_counts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("art_gym.agents.training.progress.EVALUATIONS", 3)
    run = Run(tmp_path / "run")
    outcome = train_agent(config(steps=33_000, n_epochs=1), run, progress=False)
    history = run.history()
    assert outcome.as_start is not None
    assert outcome.as_start[5].error == pytest.approx(history[0].errors[5], rel=0.05)  # on other noises
    (start,) = [row for row in learned_rows(Target.of("gaussian_1d", "euler"), outcome) if row.method == START]
    assert start.score is not None
    assert start.evaluation is outcome.as_start[5]
    assert history[0].steps == 5 * cost(1, 5, 16) < history[1].steps
    assert history[0].evaluations >= 64 * history[0].steps
    assert history[-1].steps >= 33_000
    assert run.folder.joinpath("config.yaml").read_text().count("searches: 1") == 1
    train_agent(config(steps=33_000, n_epochs=1), run, resume=True, progress=False)
    assert run.history() == history


def test_interrupted_before_anything_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Bar) -> Never:
        raise KeyboardInterrupt

    run = Run(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "_evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_agent(config(steps=33_000, n_epochs=1), run, progress=False)
    assert not (run.folder / "checkpoint.pt").exists()
    monkeypatch.setattr("art_gym.agents.training.progress.EVALUATIONS", 3)
    train_agent(config(steps=33_000, n_epochs=1), run, resume=True, progress=False)
    assert run.history()[0].evaluations >= 64 * run.history()[0].steps == 64 * 5 * cost(1, 5, 16)


@pytest.mark.parametrize("lanes", [5, 12, 16, 64])
@pytest.mark.parametrize("searches", [1, 2])
def test_it_plays_what_it_says(lanes: int, searches: int) -> None:
    setup = Setup.resolve(config(steps=10_000, num_envs=lanes, batch_size=10 * lanes))
    model = setup.make_model()
    warm_start(model, 5, searches, 0, progress=False)
    assert model.num_timesteps == 5 * cost(searches, 5, lanes)


@pytest.mark.parametrize(("given", "count"), [(1, 1), (5, 5), (6, 12), (6, 18), (12, 18)])
def test_actions_between_those_that_move(given: int, count: int) -> None:
    ramps = np.linspace([-0.5, 1.0], [0.7, 0.2], given, axis=1)  # (2, given)
    np.testing.assert_allclose(_interpolated(ramps, count), np.linspace([-0.5, 1.0], [0.7, 0.2], count, axis=1))
    np.testing.assert_allclose(_interpolated(ramps[0], count), _interpolated(ramps, count)[0])


def test_all_move_in_the_end() -> None:
    for num_steps in range(2, 60):
        moving = [count for count, _ in _phases(num_steps)]
        assert moving == sorted(moving)
        assert moving[-1] == num_steps
        assert (moving[0] < num_steps) == (num_steps > 10)


def test_with_many_steps_it_finds_what_is_best() -> None:
    setup, model = started(0, searches=2, num_steps=18)
    best = evaluate_plan(Target.of("gaussian_1d", "euler"), make_grid("arctan", 18, get_task("gaussian_1d"))).error
    assert evaluator(setup, model)(18).error < 1.03 * best
    assert model.num_timesteps == 18 * cost(2, 18, 16)


def test_it_takes_no_more_than_its_share() -> None:
    for lanes in (1, 16, 100):
        for episodes in (0, 1000, 3000, 10_800, 50_000):
            searches = affordable_searches(episodes, 5, lanes)
            assert cost(searches, 5, lanes) <= episodes < cost(searches + 1, 5, lanes) or searches == 0
    assert Setup.resolve(config(num_envs=1000)).searches == 0  # a generation would be a thousand episodes


def test_where_there_is_one() -> None:
    assert Setup.resolve(config()).searches == affordable_searches(17_200, 5, 16) == 12
    assert Setup.resolve(TrainConfig("ARTDiffusion-v0", env={"num_steps": 7})).searches == 5
    assert Setup.resolve(config(steps=10_000)).searches == 0  # a search would take more than its share
    assert Setup.resolve(config(warm_start="0")).searches == 0
    assert Setup.resolve(config(**{"warm_start.share": "0.1"})).searches == 2
    assert Setup.resolve(TrainConfig("ARTDiffusion-v0", env={"num_steps": [5, 18]})).searches == 0
    assert Setup.resolve(TrainConfig("ARTDiffusion-v0", env={"num_steps": 7, "population": 1})).searches == 0
    one = TrainConfig("ARTDiffusion-Gaussian1D-v0", env={**EULER, "num_steps": 1}, n_timesteps=200_000)
    assert Setup.resolve(one).searches == 0


def test_what_follows_it_replaces_the_rest_and_the_user_replaces_that() -> None:
    assert Setup.resolve(config()).hyperparams["policy_kwargs"]["log_std_init"] == -3.5
    assert Setup.resolve(config()).env_config.observation == ("time", "grid")
    cold = Setup.resolve(config(warm_start="0"))
    assert cold.hyperparams["policy_kwargs"]["log_std_init"] == -0.5
    assert cold.env_config.observation == ("time", "grid", "latents")
    changed = Setup.resolve(config(**{"policy_kwargs.log_std_init": "-2"}))
    assert changed.hyperparams["policy_kwargs"] == {"net_arch": [64, 64], "log_std_init": -2}


@pytest.mark.parametrize("changes", [{"warm_start.share": "2"}, {"warm_start.share": "much"}, {"warm_start": "0.1"}])
def test_a_share_that_is_none(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"warm_start.share must be a share of the episodes, .* got"):
        Setup.resolve(config(**changes))


def test_an_algorithm_without_such_a_policy() -> None:
    td3 = TrainConfig(
        "ARTDiffusion-Gaussian1D-v0", "td3", env=EULER, n_timesteps=200_000, hyperparams={"warm_start.share": 0.2}
    )
    with pytest.raises(ValueError, match="warm_start is for a2c, ppo and sac, not for td3: leave it out"):
        Setup.resolve(td3)


def test_sac_has_one_where_it_needs_one() -> None:
    configs = [TrainConfig(f"ARTDiffusion-{task}-v0", "sac", env=EULER) for task in ("Ring2D", "Mixture1D")]
    assert [Setup.resolve(each).searches for each in configs] == [16, 0]
