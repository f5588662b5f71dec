"""A mistake on the command line gives one line that names the remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Never

import pytest

from art_gym.agents.cli.main import COMMANDS, main
from art_gym.agents.training.progress import Bar
from art_gym.schedules import Schedule


@pytest.mark.parametrize("name", ["schedule_K5.json", "report.md", "result.json"])
@pytest.mark.parametrize("algo", ["cma", "ppo"])
def test_a_run_replaces_no_file_of_others(
    algo: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    arguments = ["train", "--algo", algo, "--num-steps", "5", "--out", str(tmp_path), "--no-progress"]
    for more in ([], ["--resume"]):
        assert main([*arguments, *more]) == 2
        assert f"{name} belongs to no run, and a run would replace it: name another folder" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_resuming_nothing_begins_anew_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "train",
        "--env",
        "ARTDiffusion-Gaussian1D-v0",
        "--algo",
        "cma",
        "--num-steps",
        "2",
        "--timesteps",
        "48",
    ]
    arguments += ["--out", str(tmp_path / "run"), "--no-progress", "--resume"]
    for said in (True, False):
        assert main(arguments) == 0
        assert ("holds no run to continue: a new run begins there" in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--env", "ARTDiffusion-Nothing-v0"], "unknown environment 'ARTDiffusion-Nothing-v0'"),
        (["train", "--algo", "nothing"], "unknown algorithm 'nothing'"),
        (["train", "--task", "nothing"], "unknown task 'nothing'"),
        (["train", "--solver", "nothing"], "unknown solver 'nothing'"),
        (["train", "--num-steps", "0"], "num_steps must be a whole number"),
        (["train", "--timesteps", "0"], "must be a whole number from 1 to 1000000000000, got 0"),
        (["train", "--algo", "cma", "--hyperparams", "popsize", "3"], "cma has no hyperparameters to set, got popsize"),
        (["train", "--algo", "cma", "--reward", "path"], "cma plays no episodes and does not use reward: leave"),
        (["train", "--algo", "art_rl", "--action", "fraction"], "steers its own clock and does not use action"),
        (
            ["train", "--population", "3000"],
            "population must be at most 2048, the number of noises that results are reported on, got 3000",
        ),
        (["train", "--algo", "dqn"], "'dqn' is for discrete actions, and the size of a step is continuous: choose one"),
        (
            ["train", "--hyperparams", "learning_rat", "3"],
            "unexpected keyword argument 'learning_rat'; it takes policy, learning_rate, n_steps,",
        ),
        (["train", "--hyperparams", "clip_range", "x"], "ppo cannot be made like this"),
        (
            ["train", "--hyperparams", "num_envs", "0"],
            "must be a whole number from 1 to 65536, got 0: leave it",
        ),
        (["train", "--hyperparams", "n_epochs", "0"], "n_epochs must be a whole number from 1 to 10000000, got 0"),
        (["train", "--hyperparams", "n_epochs", "1e1"], "n_epochs must be a whole number from 1 to 10000000, got 10.0"),
        (
            ["train", "--hyperparams", "batch_size", "many"],
            "batch_size must be a whole number from 1 to 10000000, got 'many'",
        ),
        (
            ["train", "--hyperparams", "n_timesteps", "-5"],
            "a whole number from 1 to 1000000000000, got -5",
        ),
        (
            ["train", "--hyperparams", "warm_start.n_steps", "0K"],
            "must be a whole number from 1 to 10000000, got 0",
        ),
        (
            ["train", "--algo", "tqc", "--hyperparams", "policy_kwargs.n_critics", "0"],
            "n_critics must be a whole number",
        ),
        (["train", "--hyperparams", "env", "3"], "'env' is not a hyperparameter"),
        (["evaluate"], "name what to evaluate"),
        (["evaluate", "edm:5", "--noises", "5000"], "must be from 1 to 2048, the number held out, got 5000"),
        (["evaluate", "edm:5", "--noises", "0"], "must be from 1 to 2048"),
        (["evaluate", "."], ". holds no run, since it has no config.yaml: name a schedule or sampler file in it"),
        (["evaluate", "EDM:5"], "unknown grid 'EDM': did you mean 'edm'? choose one of arctan, beta"),
        (["train", "--algo", "cma", "--seed", "-1"], "a seed is a whole number from 0 to 4294967295, got -1"),
        (["evaluate", "missing.json"], "cannot read the schedule file missing.json"),
        (["export", "empty"], "holds no schedules"),
        (["bench", "--seconds", "0"], "seconds for each measurement must be positive, got 0.0"),
        (["plot"], "name what to draw"),
        (["plot", "."], "holds no run"),
        (["export", "schedule.json", "--out", "."], "a folder stands in place of the file"),
        (["evaluate", "edm"], "needs its number of steps"),
        (["evaluate", "edm:2000"], "needs its number of steps, from 1 to 1000"),
        (["export", "pyproject.toml"], "is not a schedule file"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    Schedule((80.0, 1.0, 0.0), method="given").save(tmp_path / "schedule.json")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert {file.name for file in tmp_path.iterdir()} <= {"pyproject.toml", "schedule.json", "empty", "runs"}


def test_a_mistake_does_not_take_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--env", "ARTDiffusion-Gaussian1D-v0", "--timesteps", "100", "--out", str(tmp_path / "run")]
    assert main([*command, "--hyperparams", "learning_rat", "3", "--no-progress"]) == 2
    assert main([*command, "--num-steps", "2", "--no-progress"]) == 0


def test_another_programs_folder_is_left_alone(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("model: big\n")
    (tmp_path / ".tmp_mine").mkdir()
    before = sorted(tmp_path.iterdir())
    for command in (["train", "--algo", "cma"], ["demo", "--quick"]):
        assert main([*command, "--out", str(tmp_path)]) == 2
        assert "is not a run's configuration" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "config.yaml").read_text() == "model: big\n"
    assert main(["demo", "--quick", "--out", str(run_folder)]) == 2
    assert "a run that is no demo" in capsys.readouterr().err
    assert (run_folder / "report.md").exists()


@pytest.mark.parametrize(("command", "resumable"), [(["plot", "."], False), (["train"], True)])
def test_an_interrupt_says_what_can_be_done(
    command: list[str], resumable: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: Bar) -> Never:
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS[command[0]], "run", interrupted)
    assert main(command) == 130
    assert ("--resume" in capsys.readouterr().err) == resumable


def test_damaged_run_is_named(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, expected in (("config.yaml", "is not a run's configuration"), ("history.json", "is not a run's history")):
        copy = tmp_path / name.partition(".")[0]
        shutil.copytree(run_folder, copy)
        command = "evaluate" if name == "config.yaml" else "plot"
        for content in (b"{nothing", b"\xff\x00\x01"):
            (copy / name).write_bytes(content)
            assert main([command, str(copy)]) == 2
            error = capsys.readouterr().err
            assert f"{copy / name} {expected}" in error
            assert error.count("\n") == 1


@pytest.mark.parametrize(
    "stored", ["[{}]", '[{"steps": 1, "evaluations": 1, "seconds": 1, "errors": {"5": "y"}}]', "7"]
)
def test_a_damaged_history_is_named(
    stored: str, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text((run_folder / "config.yaml").read_text())
    (tmp_path / "history.json").write_text(stored)
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "pictures")]) == 2
    assert "history.json is not a run's history" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["list"], ["train", "--help"]])
def test_a_reader_who_leaves_early(arguments: list[str]) -> None:
    """As in `art-gym list | head -1`, the reader closes the pipe before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "art_gym.agents", *arguments], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_levels_beyond_the_noise_range_of_a_task_are_not_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "schedule.json"
    Schedule((157.0, 5.0, 0.1, 0.0), "given", solver="euler").save(file)
    assert main(["evaluate", str(file), "--task", "digits"]) == 2
    assert "level 157 is outside the noise range of digits, 0.002 to 80" in capsys.readouterr().err
