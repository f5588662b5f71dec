"""The command line as a person types it, its errors included."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Never

import pytest

import art_gym
from art_gym.agents.cli.main import COMMANDS, main
from art_gym.agents.reports import pictures
from art_gym.agents.runs.folder import Run
from art_gym.agents.training.progress import Bar
from art_gym.evaluation.heldout import evaluate_levels
from art_gym.schedules import Schedule, make_grid
from art_gym.tasks import registry as tasks
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

UNSCORED = "A score of – is that of a task, solver and K for which no best fixed grid is stored."


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    arguments = [
        "train",
        "--env",
        "ARTDiffusion-Mixture1D-v0",
        "--algo",
        "cma",
        "--num-steps",
        "5",
        "--out",
        str(folder),
    ]
    assert main([*arguments, "--no-progress"]) == 0
    return folder


def test_train_writes_report_schedule_and_pictures(run_folder: Path) -> None:
    assert {"report.md", "schedule_K5.json", "schedules.png", "samples.png", "training.png"} <= {
        file.name for file in run_folder.iterdir()
    }
    report = (run_folder / "report.md").read_text()
    for method in ("uniform", "EDM ρ=7", "EDM, tuned", "log-SNR", "cosine", "arctan", "ART closed form", "**cma**"):
        assert f"| {method} |" in report
    assert "EDM needs" in report
    assert UNSCORED not in report


def test_the_report_says_what_tuning_found(run_folder: Path) -> None:
    report = (run_folder / "report.md").read_text()
    (line,) = (line for line in report.splitlines() if line.startswith("- EDM, tuned: last positive level and ρ"))
    task = get_task("mixture_1d")
    last, rho = map(float, line.removesuffix(" at K = 5.").split("ρ ")[1].split(" and "))
    (row,) = (line for line in report.splitlines() if "| EDM, tuned |" in line)
    levels = make_grid("edm", 5, task, last, rho)
    assert evaluate_levels(Target.of(task, "dpmpp_2m"), levels).error == pytest.approx(
        float(row.split("|")[3].split("±")[0]), rel=0.02
    )
    assert "- log-normal, tuned: exp(mean) and deviation of log σ " in report


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"art_gym {art_gym.__version__}\n"


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for word in ("ARTDiffusion-v0", "ring_2d", "dpmpp_2m", "log_normal", "log_ratio", "fraction", "sac"):
        assert word in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "usage: art-gym" in capsys.readouterr().out


def test_evaluate_file_and_grid(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["evaluate", str(run_folder / "schedule_K5.json"), "edm:5", "--task", "mixture_1d", "--noises", "256"])
        == 0
    )
    text = capsys.readouterr().out
    for head in ("RMS", "median", "SW to data", "energy", "score", "NFE"):
        assert head in text
    assert "schedule_K5.json" in text
    assert UNSCORED not in text
    assert main(["evaluate", "edm:4", "--task", "mixture_1d", "--noises", "64"]) == 0
    assert UNSCORED in capsys.readouterr().out


def test_export_formats(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(run_folder / "schedule_K5.json")
    schedule = Schedule.load(file)

    def printed(*more: str) -> str:
        assert main(["export", file, *more]) == 0
        return capsys.readouterr().out.strip()

    assert json.loads(printed()) == list(schedule.sigmas)
    assert json.loads(printed("--format", "diffusers")) == list(schedule.sigmas)
    assert [float(part) for part in printed("--format", "comfyui").split(",")] == pytest.approx(
        schedule.sigmas, rel=1e-5
    )
    assert printed("--format", "csv").splitlines()[1] == f"0,{schedule.sigmas[0]!r}"
    assert len(json.loads(printed("--num-steps", "9"))) == 10


def test_export_a_table_of_a_runs_schedules(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run_folder)]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table == {"5": list(Schedule.load(run_folder / "schedule_K5.json").sigmas)}
    assert main(["export", str(run_folder), "--num-steps", "9"]) == 2
    assert "printed as they are: name one of its schedule files" in capsys.readouterr().err


def test_export_does_not_replace_the_schedule_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "schedule.json"
    Schedule((80.0, 1.0, 0.0), method="given").save(file)
    before = file.read_text()
    assert main(["export", str(file), "--out", str(tmp_path / "." / "schedule.json")]) == 2
    assert "is the schedule itself, and would be lost" in capsys.readouterr().err
    assert file.read_text() == before


def test_a_task_in_the_folder_that_one_works_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "import art_gym; art_gym.register_task('worked_in', art_gym.FunctionDenoiser(lambda x, sigma: 0 * x, (2,)))"
    (tmp_path / "tasks_worked_in.py").write_text(lines)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert main(["evaluate", "edm:3", "--task", "tasks_worked_in:worked_in", "--noises", "64"]) == 0
    assert "worked_in, dpmpp_2m" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["schedule_K5.json", "report.md", "result.json"])
@pytest.mark.parametrize("algo", ["cma", "ppo"])
def test_a_run_replaces_no_file_of_others(
    algo: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    arguments = ["train", "--algo", algo, "--num-steps", "5", "--out", str(tmp_path), "--no-progress"]
    for more in ([], ["--resume"]):
        assert main([*arguments, *more]) == 2
        assert f"{name} is of no run, which would replace it: name another folder" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("solver", [None, "euler", "heun", "dpmpp_2m"])
@pytest.mark.parametrize("flow", [False, True])
def test_export_says_where_comfyui_has_another_method(
    flow: bool, solver: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "schedule.json"
    Schedule((999.0, 5.0, 0.0), "given", flow=flow, solver=solver).save(file)
    assert main(["export", str(file), "--format", "comfyui"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ("0.999, 0.8333333, 0\n" if flow else "999, 5, 0\n")
    said = f"was found for {solver}, and with a flow model ComfyUI's {solver} steps in s" in printed.err
    assert said == bool(printed.err) == (flow and solver in ("heun", "dpmpp_2m"))
    assert ("SamplerDPMPP_2M_SDE" in printed.err) == (flow and solver == "dpmpp_2m")


@pytest.mark.parametrize("flow", [False, True])
def test_export_says_what_a_flow_s_levels_are(flow: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr: what is printed stays JSON or CSV."""
    (tmp_path / "run").mkdir()
    file = tmp_path / "run" / "schedule_K2.json"
    Schedule((999.0, 5.0, 0.0), "given", flow=flow).save(file)
    for what, first in (([file], "[999.0"), ([file, "--format", "csv"], "step,sigma"), ([file.parent], '{"2": [999.0')):
        assert main(["export", *map(str, what)]) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith(first)
        assert ("these are σ: samplers that take s = σ/(1+σ) need --format comfyui" in printed.err) == flow
        assert printed.err.count("\n") == flow
    for what in ("comfyui", "json"):  # which convert, or say it themselves
        assert main(["export", str(file), "--format", what]) == 0
        assert capsys.readouterr().err == ""
    assert main(["export", str(file), "--format", "diffusers"]) == (2 if flow else 0)
    error = capsys.readouterr().err
    assert ("--scheduler FOLDER" in error) == flow
    assert error.count("\n") == flow


def test_export_of_a_folder_of_schedules_by_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `learn` writes them, one a call, beside JSON of others."""
    Schedule((80.0, 1.0, 0.0), "given").save(tmp_path / "two.json")
    Schedule((80.0, 5.0, 1.0, 0.0), "given").save(tmp_path / "a_three.json")
    (tmp_path / "history.json").write_text("[]")
    assert main(["export", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"2": [80.0, 1.0, 0.0], "3": [80.0, 5.0, 1.0, 0.0]}
    Schedule((80.0, 2.0, 0.0), "given").save(tmp_path / "again.json")
    assert main(["export", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'again.json'} and {tmp_path / 'two.json'} both have 2 steps" in error
    (tmp_path / "schedule_K5.json").write_text("{}")  # damaged, not of others
    assert main(["export", str(tmp_path)]) == 2
    assert "schedule_K5.json is not a schedule file" in capsys.readouterr().err


def test_export_to_a_file_that_loads(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "copy.json"
    assert main(["export", str(run_folder / "schedule_K5.json"), "--format", "json", "--out", str(out)]) == 0
    assert Schedule.load(out) == Schedule.load(run_folder / "schedule_K5.json")


def test_plot(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = set()
    draw = pictures.schedules
    monkeypatch.setattr(pictures, "schedules", lambda file, levels: drawn.update(levels) or draw(file, levels))
    assert main(["plot", str(run_folder), "--out", str(tmp_path)]) == 0
    files = capsys.readouterr().out.split()
    assert len(files) == 2
    assert drawn == {"run schedule_K5", "EDM ρ=7, K = 5, from 80 to 0.002"}
    assert all(Path(file).read_bytes().startswith(b"\x89PNG") for file in files)


def test_plot_shows_edms_grid_of_the_models_own_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}
    monkeypatch.setattr(pictures, "schedules", lambda file, levels: drawn.update(levels) or file)
    for task in ("digits_net", "model:mine", None):  # of the two latter nothing tells where noise ends
        Schedule((40.0, 1.0, 0.0), method="given", task=task).save(tmp_path / f"{task}.json".replace(":", "_"))
    assert main(["plot", *map(str, tmp_path.glob("*.json")), "--out", str(tmp_path)]) == 0
    assert set(drawn) == {
        "digits_net",
        "model_mine",
        "None",
        f"EDM ρ=7, K = 2, from 40 to {get_task('digits_net').sigma_min:.3g}",
    }
    assert drawn.popitem()[1] == pytest.approx([40.0, get_task("digits_net").sigma_min, 0.0])


def test_plot_tells_schedules_of_one_name_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = set()
    monkeypatch.setattr(pictures, "schedules", lambda file, levels: drawn.update(levels) or file)
    files = [tmp_path / run / "schedule_K2.json" for run in ("a", "b")]
    for file in files:
        Schedule((80.0, 1.0, 0.0), method="given").save(file)
    assert main(["plot", *map(str, files), "--out", str(tmp_path)]) == 0
    assert drawn >= {"a/schedule_K2", "b/schedule_K2"}


def test_plot_of_a_run_that_has_found_nothing_yet(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(run_folder / "config.yaml", tmp_path / "run")
    assert main(["plot", str(tmp_path / "run"), "--out", str(tmp_path / "pictures")]) == 2
    assert "no schedule and no history yet" in capsys.readouterr().err
    assert not (tmp_path / "pictures").exists()


def test_named_grids_are_evaluated_beside_the_schedule(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run_folder / "schedule_K5.json"), "arctan:5", "--noises", "64"]) == 0
    text = capsys.readouterr().out
    assert text.count("held-out noises") == 1
    assert "mixture_1d, dpmpp_2m" in text
    assert "| arctan:5 |" in text
    assert "| EDM ρ=7 |" in text


def test_edms_grid_stands_once_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "edm:5", "edm:7", "arctan:6", "--task", "gaussian_1d", "--noises", "64"]) == 0
    cells = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "tuned" not in line]
    edms = [(row[0], row[1]) for row in cells if len(row) > 2 and row[1].startswith(("edm", "EDM"))]
    assert edms == [("| 5", "edm:5"), ("| 6", "EDM ρ=7"), ("| 7", "edm:7")]


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
        assert ("holds nothing to go on with: a new run begins there" in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--env", "ARTDiffusion-Nothing-v0"], "unknown environment 'ARTDiffusion-Nothing-v0'"),
        (["train", "--algo", "nothing"], "unknown algorithm 'nothing'"),
        (["train", "--task", "nothing"], "unknown task 'nothing'"),
        (["train", "--solver", "nothing"], "unknown solver 'nothing'"),
        (["train", "--num-steps", "0"], "num_steps must be a whole number"),
        (["train", "--timesteps", "0"], "must be at least 1, got 0"),
        (["train", "--algo", "cma", "--hyperparams", "popsize", "3"], "cma has no hyperparameters to set, got popsize"),
        (["train", "--algo", "cma", "--reward", "path"], "cma plays no episodes, and has no use for reward: leave"),
        (["train", "--algo", "art_rl", "--action", "fraction"], "steers a clock of its own, and has no use for action"),
        (
            ["train", "--population", "3000"],
            "population is 3000, and results are reported on 2048 noises: choose at most",
        ),
        (["train", "--algo", "dqn"], "'dqn' is for discrete actions, and the size of a step is continuous: choose one"),
        (
            ["train", "--hyperparams", "learning_rat", "3"],
            "unexpected keyword argument 'learning_rat'; it takes policy, learning_rate, n_steps,",
        ),
        (["train", "--hyperparams", "clip_range", "x"], "ppo cannot be made like this"),
        (["train", "--hyperparams", "num_envs", "0"], "num_envs must be a whole number of at least 1, got 0: leave it"),
        (["train", "--hyperparams", "n_epochs", "0"], "n_epochs must be a whole number of at least 1, got 0"),
        (["train", "--hyperparams", "n_epochs", "1e1"], "n_epochs must be a whole number of at least 1, got 10.0"),
        (
            ["train", "--hyperparams", "batch_size", "many"],
            "batch_size must be a whole number of at least 1, got 'many'",
        ),
        (["train", "--hyperparams", "n_timesteps", "-5"], "n_timesteps must be a whole number of at least 1, got -5"),
        (["train", "--hyperparams", "warm_start.n_steps", "0K"], "n_steps must be a whole number of at least 1, got 0"),
        (
            ["train", "--algo", "tqc", "--hyperparams", "policy_kwargs.n_critics", "0"],
            "n_critics must be a whole number",
        ),
        (["train", "--hyperparams", "env", "3"], "'env' is no hyperparameter"),
        (["evaluate"], "name what to evaluate"),
        (["evaluate", "edm:5", "--noises", "5000"], "must be from 1 to 2048, those that are held out, got 5000"),
        (["evaluate", "edm:5", "--noises", "0"], "must be from 1 to 2048"),
        (["evaluate", "."], ". holds no run: there is no config.yaml in it; name a schedule file in it"),
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
        assert "is no configuration of a run" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "config.yaml").read_text() == "model: big\n"
    assert main(["demo", "--quick", "--out", str(run_folder)]) == 2
    assert "a run that is no demo" in capsys.readouterr().err
    assert (run_folder / "report.md").exists()


@pytest.fixture
def forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A module with a task of one's own, "my_tasks:mine"; a call makes this process as new."""
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
    """By what is typed, or by the id in a run's folder."""
    run = tmp_path / "run"
    command = ["train", "--algo", algo, "--num-steps", "2", "--timesteps", "100", "--no-progress", "--out", str(run)]
    assert main([*command, *names]) == 0
    file = run / "schedule_K2.json"
    assert Schedule.load(file).task == "mine"
    assert Run(run).config().env_id == "my_tasks:ARTDiffusion-v0"
    assert f"all of them.\n{UNSCORED}\n\n|" in (run / "report.md").read_text()
    for what in ([run], [file, "--task", "my_tasks:mine"]):
        forget()
        assert main(["evaluate", *map(str, what), "--noises", "64"]) == 0
        assert "mine, dpmpp_2m, held-out noises: 64" in capsys.readouterr().out


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
        (["evaluate", "edm:5", "--task", "model:mine"], "a model of your own, which is no task"),
        (["evaluate", "edm:5", "--task", "mine"], "--task my_module:mine"),
        (["learn", "--task", "no_tasks:mine"], "cannot import 'no_tasks'"),
        (["train", "--task", "./my_tasks.py:mine"], "'./my_tasks.py' is no module's name: say my_tasks:mine, and put"),
        (["train", "--env", "my_tasks.py:mine"], "'my_tasks.py' is no module's name: say my_tasks:mine"),
        (["evaluate", "edm:5", "--task", "/a/my_tasks:mine"], "'/a/my_tasks' is no module's name: say my_tasks:mine"),
        (["learn", "--task", ".my_tasks:mine"], "'.my_tasks' is no module's name: say my_tasks:mine"),
    ],
)
def test_what_is_typed_for_a_task_of_ones_own_and_cannot_be(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


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
    for name, expected in (("config.yaml", "is no configuration of a run"), ("history.json", "is no history of a run")):
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
    assert "history.json is no history of a run" in capsys.readouterr().err


def test_a_rival_s_curves_are_drawn_for_each_number_of_steps(tmp_path: Path) -> None:
    arguments = ["--algo", "cma", "--env", "ARTDiffusion-Gaussian1D-v0", "--num-steps", "2", "3", "--timesteps", "4"]
    assert main(["train", *arguments, "--out", str(tmp_path / "run"), "--no-progress"]) == 0
    assert main(["plot", str(tmp_path / "run"), "--out", str(tmp_path / "pictures")]) == 0
    drawn = {file.name for file in (tmp_path / "pictures").iterdir()}
    assert drawn == {"training_run_K2.png", "training_run_K3.png", "schedules.png"}


def test_evaluate_a_rivals_run(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run_folder), "--noises", "128"]) == 0
    text = capsys.readouterr().out
    assert "schedule_K5.json" in text
    assert "EDM, tuned" in text
    # the score's ends are measured on the same noises as the rest
    (edm,) = (line for line in text.splitlines() if "| EDM ρ=7 |" in line)
    assert "| 0.000 |" in edm


def test_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "art_gym.agents", "list"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "ARTDiffusion-v0" in done.stdout


@pytest.mark.parametrize("arguments", [["list"], ["train", "--help"]])
def test_a_reader_who_leaves_early(arguments: list[str]) -> None:
    """As in `art-gym list | head -1`: the reading end is closed before anything is written."""
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
