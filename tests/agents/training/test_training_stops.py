"""What ends training early: an interrupt, a folder in use, values that the algorithm cannot use, divergence."""

from __future__ import annotations

from pathlib import Path
from typing import Never

import numpy as np
import pytest

from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.runs.folder import Run
from art_gym.agents.runs.outcome import Outcome
from art_gym.agents.training.agents import train_agent
from art_gym.agents.training.checkpoint import load_model
from art_gym.agents.training.policies import load_evaluator
from art_gym.agents.training.progress import Bar
from art_gym.agents.training.run import train
from art_gym.agents.training.setup import Setup
from art_gym.envs.problem import Problem
from art_gym.envs.state import Transition

EULER = {"solver": "euler", "num_steps": 5, "observation": ["time"]}


def gaussian(seed: int = 0, steps: int = 24_000, **env: object) -> TrainConfig:
    return TrainConfig("ARTDiffusion-Gaussian1D-v0", "ppo", seed, env={**EULER, **env}, n_timesteps=steps)


@pytest.mark.slow
def test_a_folder_in_use_and_another_configuration_are_refused(trained: tuple[Run, Outcome]) -> None:
    run, _ = trained
    with pytest.raises(ValueError, match="holds a run already: add --resume"):
        train_agent(gaussian(), run, progress=False)
    with pytest.raises(ValueError, match="another configuration: seed was 0, not 9; name another folder"):
        train_agent(gaussian(seed=9), run, resume=True, progress=False)


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    with Run(tmp_path / "run").alone():
        with pytest.raises(ValueError, match=r"another process trains in .*run: wait for it, or name another folder"):
            train(gaussian(), Run(tmp_path / "run"), resume=False, progress=False)
        with Run(tmp_path / "other").alone():
            pass
    with Run(tmp_path / "run").alone():  # free again
        assert not list(tmp_path.iterdir())


def test_what_an_interrupted_run_has_cost_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C between two evaluations, the history has the steps since the last one, and their evaluations."""
    config = TrainConfig("ARTDiffusion-Gaussian1D-v0", "a2c", 0, EULER, n_timesteps=4000)
    run, on_step, calls = Run(tmp_path / "run"), Bar._on_step, 0

    def interrupted(self: Bar) -> bool:
        nonlocal calls
        calls += 1
        if calls == 70:  # each of 16 steps, with an evaluation every 100 steps
            raise KeyboardInterrupt
        return on_step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Bar, "_on_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_agent(config, run, progress=False)
    last = run.history()[-1]
    assert last.steps == 70 * 16
    assert last.evaluations == 64 * (70 * 16 + 16)
    train_agent(config, run, resume=True, progress=False)
    last = run.history()[-1]
    assert last.steps >= 4000
    assert last.evaluations == 64 * (last.steps + 2 * 16)


@pytest.mark.parametrize(
    ("algo", "changes", "message"),
    [
        ("ppo", {"gamma": "abc", "warm_start": "0"}, r"ppo cannot be trained with \{'gamma': 'abc'"),
        (
            "ppo",
            {"policy_kwargs.net_arch": "[-3]"},
            "a width in net_arch must be a whole number from 1 to 8192",
        ),
        ("sac", {"noise_type": "pink"}, "unknown noise_type 'pink': choose one of normal, ornstein-uhlenbeck"),
        ("ppo", {"policy_kwargs.activation_fn": "relu"}, "an activation of torch.nn such as ReLU, got 'relu'"),
        ("ppo", {"device": "cuda"}, "'device' is not a hyperparameter"),
        ("sac", {"noise_std": "0.5"}, "noise_std needs a noise_type: choose one of"),
        ("td3", {"noise_std": "-1"}, "noise_std must be a positive number, got -1"),
    ],
)
def test_values_that_the_algorithm_cannot_use(algo: str, changes: dict[str, str], message: str, tmp_path: Path) -> None:
    config = TrainConfig("ARTDiffusion-Gaussian1D-v0", algo, 0, EULER, changes, 2000)
    with pytest.raises(ValueError, match=message):
        train_agent(config, Run(tmp_path), progress=False)


def test_an_error_of_a_part_of_ones_own_is_not_the_hyperparameters(tmp_path: Path) -> None:
    def reward(transition: Transition, problem: Problem) -> Never:
        return None + 1, {}

    env = {**EULER, "reward": reward}
    config = TrainConfig("ARTDiffusion-Gaussian1D-v0", "a2c", 0, env, {"n_steps": "10"}, 400)
    with pytest.raises(TypeError, match="unsupported operand"):
        train_agent(config, Run(tmp_path / "run"), progress=False)


def test_a_damaged_checkpoint_is_one_clear_error(trained: tuple[Run, Outcome], tmp_path: Path) -> None:
    damaged = tmp_path / "checkpoint.pt"
    damaged.write_bytes((trained[0].folder / "checkpoint.pt").read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"cannot load {damaged}"):
        load_model(Setup.resolve(gaussian()).make_model(), damaged)


@pytest.mark.parametrize(
    ("algo", "changes", "saved"),
    [
        ("ppo", {"gamma": "nan"}, False),
        ("ppo", {"learning_rate": "1e5"}, False),  # a deviation of 0, although all weights are finite
        ("sac", {"gamma": "nan"}, True),
        ("td3", {"gamma": "nan"}, True),  # its actions themselves are NaN
    ],
)
def test_training_that_diverges_is_one_line_and_keeps_what_was_saved(
    tmp_path: Path, algo: str, changes: dict[str, str], saved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("art_gym.agents.training.setup.check_values", lambda values: None)  # it refuses NaN at once
    if not saved:  # it diverged before the first evaluation
        changes = {**changes, "warm_start": "0", "n_steps": "40K"}
    env, steps = {"solver": "euler", "num_steps": 2}, 1600 if saved else 80_000
    config = TrainConfig("ARTDiffusion-Gaussian1D-v0", algo, 0, env, changes, steps)
    run = Run(tmp_path / algo)
    named = rf"the network of {algo.upper()} gave NaN, .* after [1-9][\d,]* steps: lower"
    with pytest.raises(ValueError, match=named) as said:
        train(config, run, resume=False, progress=False)
    assert "\n" not in str(said.value)
    assert (f"so far is kept in {run.folder}" in str(said.value)) == saved == run.has_results()
    if saved:
        _, evaluate = load_evaluator(run)
        assert np.isfinite(evaluate(2, 64).error)
