"""`art-gym train --algo art_rl` as a user runs it: interrupted, resumed, with TensorBoard and a progress bar."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.continuous_time import ARTRL
from art_gym.agents.runs.folder import Run
from art_gym.agents.training.checkpoint import load_model
from art_gym.agents.training.setup import Setup
from art_gym.schedules import Schedule

UPDATE = 8 * 64  # environment steps
TAGS = {"art_rl/cost", "art_rl/clock_end", "art_rl/multiplier", "art_rl/critic_residual", "art/heldout_error/K5"}


def command(folder: Path, *more: str) -> list[str]:
    options = ["--env", "ARTDiffusion-Gaussian1D-v0", "--algo", "art_rl", "--solver", "euler", "--num-steps", "5"]
    values = ["--hyperparams", "num_envs", "8", "critic", "ctd_zero", "--timesteps", str(6 * UPDATE)]
    return ["train", *options, *values, "--out", str(folder), *more]


def tensorboard_tags(folder: Path) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    tags: set[str] = set()
    for run in folder.iterdir():
        events = EventAccumulator(str(run))
        events.Reload()
        tags |= set(events.Tags()["scalars"])
    return tags


@pytest.mark.filterwarnings("ignore:rich is experimental")
def test_interrupted_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("art_gym.agents.training.progress.EVALUATIONS", 3)
    run, train = Run(tmp_path / "run"), ARTRL.train

    def interrupted(model: ARTRL) -> None:
        if model._n_updates == 3:
            raise KeyboardInterrupt
        train(model)

    monkeypatch.setattr(ARTRL, "train", interrupted)
    assert main(command(run.folder)) == 130
    for thread in threading.enumerate():
        if "Refresh" in type(thread).__name__:  # the thread of an open bar never ends
            thread.join()
    monkeypatch.setattr(ARTRL, "train", train)
    stopped = Setup.resolve(run.config()).make_model()
    load_model(stopped, run.folder / "checkpoint.pt")
    assert isinstance(stopped, ARTRL)
    assert len(stopped.critic.weights)
    assert (stopped.num_timesteps, stopped._n_updates) == (4 * UPDATE, 3)

    assert main(command(run.folder, "--resume")) == 0
    assert run.history()[-1].steps == 6 * UPDATE
    assert Schedule.load(run.folder / "schedule_K5.json").num_steps == 5
    assert tensorboard_tags(run.tensorboard) >= TAGS
    assert "100%" in "".join(capsys.readouterr())  # from the progress bar


def test_a_value_out_of_range_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = command(tmp_path / "run", "--no-progress")
    arguments[arguments.index("ctd_zero")] = "sarsa"
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "unknown critic 'sarsa'" in error
    assert len(error.strip().splitlines()) == 1
