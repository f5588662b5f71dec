"""An agent that meets many models begins with instant schedules, and its policy can be used elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from art_gym.agents.runs import Run, TrainConfig
from art_gym.agents.training import instant_start
from art_gym.agents.training.agents import train_agent
from art_gym.agents.training.policies import evaluator, load_evaluator
from art_gym.agents.training.setup import Setup
from art_gym.envs.probing import model_numbers
from art_gym.evaluation.families import error_of_grids
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers.coefficients import follow
from art_gym.schedules.instant import load_policy
from art_gym.schedules.probe import probe
from art_gym.search.instant import begin, find
from art_gym.tasks.families.base import ROWS
from art_gym.tasks.target import Target

ID, SAMPLER_ID, MODELS = "ARTDiffusion-Procedural-v0", "ARTDiffusion-Procedural-Sampler-v0", 4
ENV = {"task": f"procedural?models={MODELS}", "noises": MODELS * ROWS, "num_steps": (5, 6)}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instant_start, "EPISODES", 640)
    monkeypatch.setattr(instant_start, "FIT_STEPS", 2000)


def test_the_policy_begins_with_instant_schedules() -> None:
    setup = Setup.resolve(TrainConfig(ID, "ppo", 0, ENV))
    assert setup.begun_by == "instant schedules"
    model = setup.make_model()
    instant_start.instant_start(model, setup.n_timesteps, 0, False)  # type: ignore[arg-type]
    assert model.num_timesteps > 2000
    target, policy = Target.of(ENV["task"], "drawn"), load_policy()
    for num_steps in (5, 6):
        grids = []
        for number in range(MODELS):
            solver = "dpmpp_2m" if target.denoiser.second_order(np.array(number)) else "euler"  # type: ignore[attr-defined]
            grids.append(policy.levels(probe(target.denoiser.model(number)), num_steps, solver).tolist())  # type: ignore[attr-defined]
        expected = error_of_grids(target, grids)
        assert evaluator(setup, model)(num_steps, distances=False).error == pytest.approx(expected, rel=0.05)


def test_the_shown_actions_sample_as_instant_samplers_do() -> None:
    setup = Setup.resolve(TrainConfig(SAMPLER_ID, "ppo", 0, ENV))
    core, num_steps, policy = setup.env_config.make_core(), 5, load_policy()
    family, noise = core.problem.denoiser, np.arange(MODELS * ROWS).reshape(MODELS, -1)
    begun = core.start(noise, np.full(MODELS, num_steps))
    state = core.denoise(begun)
    plans = instant_start._plans(core, state, num_steps)
    for k in range(num_steps):
        state = core.move(state, instant_start._actions(core, state, plans, k))[0]
        if k + 1 < num_steps:
            state = core.denoise(state)
    for x, start, number in zip(state.x, begun.x, model_numbers(begun, core.problem), strict=True):
        first, make = begin(policy, family, probe(family.model(number)), num_steps, "dpmpp_2m", True)  # type: ignore[attr-defined]
        np.testing.assert_allclose(x, follow(family, make(first), start), atol=2e-4)


def test_the_policy_begins_with_instant_samplers() -> None:
    setup = Setup.resolve(TrainConfig(SAMPLER_ID, "ppo", 0, ENV))
    assert setup.begun_by == "instant schedules"
    model = setup.make_model()
    before = evaluator(setup, model)(5, distances=False).error
    instant_start.instant_start(model, setup.n_timesteps, 0, False)  # type: ignore[arg-type]
    assert evaluator(setup, model)(5, distances=False).error < before / 3


@pytest.mark.parametrize("name", ["ring_2d", "ring_2d_sampler"])
def test_a_single_model_begins_with_its_own_plan(name: str) -> None:
    changes = {"warm_start.instant": True}
    setup = Setup.resolve(TrainConfig(name, "ppo", 0, {"num_steps": (5, 6), "noises": 256}, changes, 4000))
    assert setup.begun_by == "instant schedules"
    model = setup.make_model()
    instant_start.instant_start(model, setup.n_timesteps, 0, False)  # type: ignore[arg-type]
    target = Target.of("ring_2d", "dpmpp_2m")
    for num_steps in (5, 6):
        found = find(target.denoiser, num_steps, sampler=name == "ring_2d_sampler")
        expected = evaluate_plan(target, found.plan, distances=False).error
        assert evaluator(setup, model)(num_steps, distances=False).error == pytest.approx(expected, rel=0.01)
    assert model.num_timesteps * 64 > 2 * found.evaluations  # what it took counts


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"solver": "heun"}, "instant schedules are for dpmpp_2m, euler, got 'heun'"),
        ({"num_steps": (2, 6)}, "instant schedules have 3 to 20 steps, got 2"),
        ({"action": "deviation"}, "instant schedules begin actions of fraction and sampler, got DeviationMap"),
    ],
)
def test_where_no_instant_schedule_fits_the_start_says_so(env: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=f"{said}.*leave the start out with warm_start 0"):
        Setup.resolve(TrainConfig("ring_2d", "ppo", 0, env, {"warm_start.instant": True}, 4000))


def test_a_run_can_be_evaluated_on_other_models_and_on_a_single_one(tmp_path: Path) -> None:
    changes = {"num_envs": 8, "n_steps": 60, "batch_size": 120}
    config = TrainConfig(ID, "ppo", 0, ENV, changes, n_timesteps=6000)
    outcome = train_agent(config, Run(tmp_path / "run"), progress=False)
    assert outcome.begun_with == "one probe for each model"
    _, on_test = load_evaluator(Run(tmp_path / "run"), "procedural_test")
    assert 0 < on_test(5, 4 * ROWS, distances=False).error < 0.2
    _, on_ring = load_evaluator(Run(tmp_path / "run"), "ring_2d", "dpmpp_2m")
    assert 0 < on_ring(5, 64, distances=False).error < 1
    with pytest.raises(ValueError, match="solver='drawn' is for tasks that are many models, and 'ring_2d' is one"):
        load_evaluator(Run(tmp_path / "run"), "ring_2d")[1](5, 64)
