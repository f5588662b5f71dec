"""An agent that chooses all of a step begins with the samplers of a search, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_gym.agents.runs import Run, TrainConfig
from art_gym.agents.training.agents import train_agent
from art_gym.agents.training.hyperparams import load_hyperparams
from art_gym.agents.training.policies import evaluator
from art_gym.agents.training.sampler_start import _in_reach, sampler_start
from art_gym.agents.training.setup import Setup
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers.sampler import Sampler
from art_gym.search.sampler_defect import sampler_defect

ID = "ARTDiffusion-Mixture1D-Sampler-v0"


def setup_of(algo: str, changes: dict[str, Any] | None = None, **env: Any) -> Setup:
    return Setup.resolve(TrainConfig(ID, algo, 0, {"noises": 512, "num_steps": (3, 5), **env}, changes or {}))


@pytest.mark.parametrize("algo", ["ppo", "sac", "td3"])
def test_the_policy_begins_with_the_samplers_of_the_search(algo: str) -> None:
    setup = setup_of(algo)
    assert setup.begun_by == "Gauss-Newton"
    model = setup.make_model()
    core = setup.env_config.make_core()
    bank = core.problem.bank
    sampler_start(model, range(3, 6), 100_000, setup.n_timesteps, 0, False)  # type: ignore[arg-type]
    assert model.num_timesteps > 1000
    evaluate = evaluator(setup, model)
    for num_steps in (3, 5):
        freedom = setup.target.freedom
        assert freedom is not None
        share, noises = 100_000 * num_steps**2 / (50 / 3), (bank.start, bank.endpoints)  # 50/3 is the mean of K²
        found = sampler_defect(core.problem.denoise, num_steps, freedom, *noises, 0, share, most_weight=8.0)
        made = _in_reach(core, found, share)
        expected = evaluate_plan(setup.target, made, distances=False).error
        assert evaluate(num_steps, distances=False).error == pytest.approx(expected, rel=0.01)


def test_a_run_says_what_the_search_gave(tmp_path: Path) -> None:
    changes = {"warm_start.evaluations": 60_000, "num_envs": 4, "batch_size": 32}
    config = TrainConfig(ID, "ppo", 0, {"noises": 256, "num_steps": 4}, changes, n_timesteps=4000)
    outcome = train_agent(config, Run(tmp_path / "run"), progress=False)
    assert (outcome.begun_by, outcome.begun_with) == ("Gauss-Newton", "60,000 evaluations for each K")
    assert outcome.as_start is not None
    assert outcome.as_policy is not None
    assert outcome.as_policy[4].error <= 1.2 * outcome.as_start[4].error  # the best on validation noise is kept
    plan = outcome.plans[4]
    assert isinstance(plan, Sampler)
    assert plan.method == "ppo, begun by Gauss-Newton"
    assert outcome.evaluations > 60_000


def test_a_search_leaves_the_agent_something_to_play() -> None:
    assert setup_of("ppo", {"n_timesteps": 3000}).start_evaluations == 0.75 * 3000 * 64 / 3


def test_recipes_without_a_search_and_for_other_actions() -> None:
    assert setup_of("ppo", {"warm_start": 0}).begun_by is None
    assert Setup.resolve(TrainConfig("ARTDiffusion-Mixture1D-v0", "ppo", env={"num_steps": (5, 7)})).begun_by is None
    with pytest.raises(ValueError, match=r"warm_start is for .*ppo.* not for recurrentppo: leave it out"):
        setup_of("recurrentppo", {"warm_start.evaluations": 1000})
    with pytest.raises(ValueError, match=r"warm_start\.evaluations must be a number of denoiser evaluations"):
        setup_of("ppo", {"warm_start.evaluations": -1})


@pytest.mark.parametrize("algo", ["ppo", "sac", "td3", "tqc", "crossq"])
def test_every_sampler_environment_has_the_samplers_recipe(algo: str) -> None:
    own = TrainConfig(ID, algo).hyperparams_id
    by_action = TrainConfig("ARTDiffusion-Mixture1D-v0", algo, env={"action": "weights"}).hyperparams_id
    another_task = TrainConfig(ID, algo, env={"task": "digits"}).hyperparams_id
    recipes = [load_hyperparams(algo, name, 5) for name in (own, by_action, another_task)]
    assert own == by_action == ID
    assert "evaluations" in recipes[0]["warm_start"]
    assert recipes[0] == recipes[1] == recipes[2]
    plain = load_hyperparams(algo, TrainConfig("ARTDiffusion-Mixture1D-v0", algo).hyperparams_id, 5)
    assert "evaluations" not in plain.get("warm_start", {})
    assert np.isfinite(plain["n_timesteps"])


def test_a_sampler_that_actions_cannot_choose_is_improved_from_their_edge() -> None:
    setup = setup_of("ppo", num_steps=4)
    core = setup.env_config.make_core()
    bank, denoiser, freedom = core.problem.bank, core.problem.denoise, setup.target.freedom
    assert freedom is not None
    bank.ensure(bank.size)
    made = sampler_defect(denoiser, 4, freedom, bank.start, bank.endpoints, 0, 100_000)
    beyond = made._replace(told=np.append(made.told[:3], 40.0))
    edge = made._replace(told=np.append(made.told[:3], 6.0))  # the largest factor of an action
    reached = _in_reach(core, beyond, np.inf)
    assert reached.told.max() < 6.001
    errors = [evaluate_plan(setup.target, each, distances=False).error for each in (edge, reached)]
    assert errors[1] < 0.5 * errors[0]
    same = _in_reach(core, made, np.inf)
    assert all(np.allclose(*pair, atol=1e-3) for pair in zip(same, made, strict=True))


def test_a_policy_that_sees_the_latents_begins_with_the_sampler_too() -> None:
    setup = setup_of("ppo", num_steps=3, observation=["time", "latents"])
    model, core = setup.make_model(), setup.env_config.make_core()
    sampler_start(model, range(3, 4), 100_000, setup.n_timesteps, 0, False)  # type: ignore[arg-type]
    freedom, bank = setup.target.freedom, core.problem.bank
    assert freedom is not None
    noises = (bank.start, bank.endpoints)
    found = sampler_defect(core.problem.denoise, 3, freedom, *noises, 0, 100_000, most_weight=8.0)
    expected = evaluate_plan(setup.target, Sampler.made(_in_reach(core, found, 100_000), "x"), distances=False).error
    assert evaluator(setup, model)(3, distances=False).error < 1.1 * expected
