"""Your own tasks on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.runs.folder import Run
from art_gym.schedules import Schedule
from art_gym.tasks import registry as tasks

UNSCORED = "A score of – means that no best fixed grid is stored for this task, solver and K."


def test_a_task_in_the_folder_that_one_works_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "import art_gym; art_gym.register_task('worked_in', art_gym.FunctionDenoiser(lambda x, sigma: 0 * x, (2,)))"
    (tmp_path / "tasks_worked_in.py").write_text(lines)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert main(["evaluate", "edm:3", "--task", "tasks_worked_in:worked_in", "--noises", "64"]) == 0
    assert "worked_in, dpmpp_2m" in capsys.readouterr().out


@pytest.fixture
def forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A module with its own task, "my_tasks:mine". Call it to make this process forget the task."""
    (tmp_path / "my_tasks.py").write_text(
        "import art_gym\n"
        "denoise = lambda x, sigma: x / (1 + sigma[:, None] ** 2)\n"
        'art_gym.register_task("mine", art_gym.FunctionDenoiser(denoise, shape=(1,), data_std=1.0))\n'
    )
    monkeypatch.syspath_prepend(tmp_path)

    def forget() -> None:
        sys.modules.pop("my_tasks", None)
        tasks.TASKS._entries.pop("mine", None)
        tasks._made.pop("mine", None)

    yield forget
    forget()


@pytest.mark.parametrize("algo", ["cma", "ppo"])
@pytest.mark.parametrize(
    "names",
    [("--env", "my_tasks:ARTDiffusion-v0", "--task", "mine"), ("--task", "my_tasks:mine")],
)
def test_a_task_of_ones_own_is_imported(
    algo: str, names: list[str], forget: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a typed name, never by the one in a run's folder."""
    run = tmp_path / "run"
    command = ["train", "--algo", algo, "--num-steps", "2", "--timesteps", "100", "--no-progress", "--out", str(run)]
    assert main([*command, *names]) == 0
    file = run / "schedule_K2.json"
    assert Schedule.load(file).task == "mine"
    assert Run(run).config(["my_tasks"]).env_id == "my_tasks:ARTDiffusion-v0"
    assert f"all of them.\n{UNSCORED}\n\n|" in (run / "report.md").read_text()
    for what in ([run, "--task", "my_tasks:mine"], [file, "--task", "my_tasks:mine"]):
        forget()
        assert main(["evaluate", *map(str, what), "--noises", "64"]) == 0
        assert "mine, dpmpp_2m, held-out noises: 64" in capsys.readouterr().out
    forget()
    assert main(["evaluate", str(run)]) == 2
    assert "names the module 'my_tasks', whose code would run" in capsys.readouterr().err
    assert "my_tasks" not in sys.modules


def test_learn_imports_a_task_that_is_typed(
    forget: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["learn", "--steps", "3", "--budget", "20000nfe", "--no-progress", "-o", str(tmp_path / "s.json")]
    assert main([*command, "--task", "my_tasks:mine"]) == 0
    assert Schedule.load(tmp_path / "s.json").task == "mine"


def test_a_schedule_file_imports_nothing(
    forget: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "schedule.json"
    for task in ("my_tasks:mine", "mine", "my_tasks:ARTDiffusion-v0"):
        Schedule((80.0, 1.0, 0.0), "given", task=task).save(file)
        assert main(["evaluate", str(file)]) == 2
        assert f"unknown task {task!r}" in capsys.readouterr().err
        assert "my_tasks" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--env", "no_tasks:ARTDiffusion-v0"], "cannot import 'no_tasks'"),
        (["train", "--task", "no_tasks:mine"], "cannot import 'no_tasks'"),
        (["train", "--env", "json:ARTDiffusion-v0", "--task", "csv:mine"], "name two modules: import one in the other"),
        (["evaluate", "edm:5", "--task", "no_tasks:mine"], "cannot import 'no_tasks'"),
        (["evaluate", "edm:5", "--task", "model:mine"], "a model of your own, which is not a task"),
        (["evaluate", "edm:5", "--task", "mine"], "--task my_module:mine"),
        (["learn", "--task", "no_tasks:mine"], "cannot import 'no_tasks'"),
        (["train", "--task", "./my_tasks.py:mine"], "'./my_tasks.py' is not a module name: write my_tasks:mine, and"),
        (["train", "--env", "my_tasks.py:mine"], "'my_tasks.py' is not a module name: write my_tasks:mine"),
        (["evaluate", "edm:5", "--task", "/a/my_tasks:mine"], "'/a/my_tasks' is not a module name: write my_tasks:"),
        (["learn", "--task", ".my_tasks:mine"], "'.my_tasks' is not a module name: write my_tasks:mine"),
    ],
)
def test_what_is_typed_for_a_task_of_ones_own_and_cannot_be(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
