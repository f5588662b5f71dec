"""Commands take sampler files, and run folders that hold them, wherever they take schedules."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.runs.outcome import plan_files
from art_gym.envs.actions.base import ACTIONS
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.sampler import Sampler
from art_gym.schedules import Schedule
from art_gym.tasks import references

ENV = ["--env", "ARTDiffusion-Mixture1D-Sampler-v0", "--num-steps", "5", "--no-progress"]
LEVELS = (80.0, 6.0, 1.0, 0.0)
SMALL = Sampler(LEVELS, (0.5, 1.0, 0.9), ((), (0.4,), (0.3, -0.1)), "given", task="mixture_1d", solver="dpmpp_2m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a search that found a sampler."""
    folder = tmp_path_factory.mktemp("samplers") / "run"
    assert main(["train", *ENV, "--algo", "defect", "--timesteps", "20000", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    SMALL.save(tmp_path / "sampler.json")
    return tmp_path / "sampler.json"


def only_grids(monkeypatch: pytest.MonkeyPatch, *more: references.Reference) -> references.Reference:
    """Let these be the stored oracles of samplers; returns the grid's of mixture_1d."""
    grids = [known for known in references.load_references() if known.freedom is None]
    monkeypatch.setattr(references, "load_references", lambda: (*grids, *more))
    wanted = ("mixture_1d", "dpmpp_2m", 5)
    return next(known for known in grids if (known.task, known.solver, known.num_steps) == wanted)


def cells(text: str, name: str) -> list[str]:
    """The cells of the row of that name."""
    (line,) = (line for line in text.splitlines() if f"| {name} |" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_report_of_a_sampler(folder: Path) -> None:
    report = (folder / "report.md").read_text()
    assert "| K | method |" in report
    assert "what the learned sampler does in 5" in report
    assert "![sampler](sampler.png)" in report
    assert (folder / "sampler.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in plan_files(folder)] == ["sampler_K5.json"]


def test_a_sampler_is_scored_by_the_best_sampler(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = only_grids(monkeypatch)
    found = Sampler.load(folder / "sampler_K5.json")
    best = replace(grid, freedom=Freedom().name, oracle_sigmas=found.sigmas, oracle_told=found.told)
    only_grids(monkeypatch, replace(best, oracle_weights=found.weights))
    Schedule(grid.oracle_sigmas, "oracle", "mixture_1d", "dpmpp_2m").save(folder.parent / "best_grid.json")
    assert main(["evaluate", str(folder), str(folder.parent / "best_grid.json"), "--noises", "256"]) == 0
    text = capsys.readouterr().out
    assert "A sampler's score is 1 for the best sampler known, a schedule's for the best fixed grid." in text
    assert "A score of –" not in text
    ours, theirs = (cells(text, str(path)) for path in (folder / "sampler_K5.json", folder.parent / "best_grid.json"))
    assert ours[2] != theirs[2]
    assert ours[-3] == theirs[-3] == "1.000"
    assert cells(text, "EDM ρ=7")[-3] == "0.000"


def test_a_sampler_without_a_stored_oracle(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_grids(monkeypatch)
    assert main(["evaluate", str(folder / "sampler_K5.json"), "--noises", "64"]) == 0
    text = capsys.readouterr().out
    assert "A score of – means that no best sampler is stored for this task, solver and K." in text
    assert cells(text, str(folder / "sampler_K5.json"))[-3] == "–"
    assert cells(text, "EDM ρ=7")[-3] == "0.000"


def test_evaluate_an_agent_that_chooses_samplers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    more = ["--algo", "a2c", "--timesteps", "100", "--hyperparams", "num_envs", "2", "warm_start", "0"]
    assert main(["train", *ENV, *more, "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(out), str(out / "sampler_K5.json"), "--noises", "64"]) == 0
    text = capsys.readouterr().out
    assert cells(text, f"{out} (policy)")
    assert "mean grid" not in text
    assert cells(text, f"{out} (its mean sampler)")[2] == cells(text, str(out / "sampler_K5.json"))[2]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"told": (2.0, 1.0, 1.0)}, "the sampler tells mixture_1d the level 160, which is outside its noise range"),
        ({"sigmas": (100.0, 6.0, 1.0, 0.0)}, "level 100 is outside the noise range of mixture_1d, 0.002 to 80"),
    ],
)
def test_a_sampler_beyond_the_noise_range_is_not_evaluated(
    changed: dict[str, tuple[float, ...]], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(SMALL, **changed).save(tmp_path / "sampler.json")
    assert main(["evaluate", str(tmp_path / "sampler.json")]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_plot_a_run_and_a_file(folder: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pictures"
    assert main(["plot", str(folder), str(file), "--out", str(out)]) == 0
    drawn = {"training_run_K5.png", "schedules.png", "run_sampler_K5.png", "sampler.png"}
    assert {Path(line).name for line in capsys.readouterr().out.split()} == drawn
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in drawn)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "--format sigmas takes only its levels: sample with art_gym.export.k_diffusion_sampler"),
        (["--format", "diffusers"], "takes only its levels: sample with art_gym.export.ARTScheduler.from_sampler"),
        (["--format", "comfyui"], "takes only its levels: sample with the nodes in integrations/comfyui"),
        (["--scheduler", "nowhere"], "takes only its levels: sample with art_gym.export.ARTScheduler.from_sampler"),
        (["--format", "json", "--num-steps", "7"], "cannot resample this sampler to K = 7"),
    ],
)
def test_export_says_what_cannot_hold_a_sampler(
    options: list[str], expected: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(file), *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert expected in printed.err
    assert printed.err.count("\n") == 1
    assert ("--levels-alone" in printed.err) == ("--num-steps" not in options)


def test_export_all_of_a_sampler(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(file), "--format", "json", "--out", str(tmp_path / "copy.json")]) == 0
    assert Sampler.load(tmp_path / "copy.json") == SMALL
    assert main(["export", str(file), "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "step,sigma,told,weight_1,weight_2",
        "0,80.0,0.5,0.0,0.0",
        "1,6.0,1.0,0.4,0.0",
        "2,1.0,0.9,0.3,-0.1",
        "3,0.0,,,",
    ]


def test_export_the_levels_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, expected in (
        ([], json.dumps(LEVELS)),
        (["--format", "diffusers"], json.dumps(LEVELS)),
        (["--format", "comfyui"], "80, 6, 1, 0"),
        (["--num-steps", "5"], json.dumps(SMALL.schedule.resample(5).to_sigmas())),
    ):
        assert main(["export", str(file), "--levels-alone", *options]) == 0
        assert capsys.readouterr().out.strip() == expected
    out = file.with_name("schedule.json")
    assert main(["export", str(file), "--levels-alone", "--format", "json", "--out", str(out)]) == 0
    assert Schedule.load(out) == SMALL.schedule


def test_export_a_folder_with_samplers(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Schedule((80.0, 1.0, 0.0), "given").save(file.with_name("schedule_K2.json"))
    assert main(["export", str(file.parent)]) == 2
    assert f"{file} is a sampler, and the table of a folder takes only its levels" in capsys.readouterr().err
    assert main(["export", str(file.parent), "--levels-alone"]) == 0
    assert json.loads(capsys.readouterr().out) == {"2": [80.0, 1.0, 0.0], "3": [*LEVELS]}


def test_a_sampler_that_is_a_solver_is_resampled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Sampler.of(np.array(LEVELS), "dpmpp_2m").save(tmp_path / "sampler.json")
    assert main(["export", str(tmp_path / "sampler.json"), "--num-steps", "6", "--format", "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "6,0.0,,"


def test_export_says_what_levels_a_flow_s_sampler_has(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flow in (True, False):
        replace(SMALL, flow=flow).save(file)
        assert main(["export", str(file), "--format", "csv"]) == 0
        said = capsys.readouterr().err
        assert ("these are σ: the nodes in integrations/comfyui and ARTScheduler convert" in said) == bool(said) == flow


def test_list_tells_actions_for_samplers_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    grids, samplers = ({name.strip() for name in lines[title].split(",")} for title in ("action maps", "for samplers"))
    assert samplers == {"sampler", "weights", "told_weights"}
    assert grids == set(ACTIONS) - samplers
