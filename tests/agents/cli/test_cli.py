"""The command line as a person types it, including its errors."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import art_gym
from art_gym.agents.cli.main import COMMANDS, main
from art_gym.agents.reports import pictures
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules import Schedule, make_grid
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

UNSCORED = "A score of – means that no best fixed grid is stored for this task, solver and K."


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
    assert evaluate_plan(Target.of(task, "dpmpp_2m"), levels).error == pytest.approx(
        float(row.split("|")[3].split("±")[0]), rel=0.02
    )
    assert "- log-normal, tuned: exp(mean) and deviation of log σ " in report


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"art_gym {art_gym.__version__}\n"


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    for word in (
        "ARTDiffusion-v0",
        "ring_2d",
        "dpmpp_2m",
        "log_normal",
        "constant_rate",
        "log_ratio",
        "fraction",
        "sac",
    ):
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
    for task in ("digits_net", "model:mine", None):  # nothing tells the noise range of the last two
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
    assert "no schedule, no sampler and no history yet" in capsys.readouterr().err
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
    # the ends of the score use the same noises as the rest
    (edm,) = (line for line in text.splitlines() if "| EDM ρ=7 |" in line)
    assert "| 0.000 |" in edm


def test_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "art_gym.agents", "list"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ARTDiffusion-v0" in done.stdout
