"""`art-gym export` in every format, and its notes on each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from art_gym.agents.cli.main import main
from art_gym.schedules import Schedule


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
    assert "printed as they are: name one of its files" in capsys.readouterr().err


def test_export_does_not_replace_the_schedule_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "schedule.json"
    Schedule((80.0, 1.0, 0.0), method="given").save(file)
    before = file.read_text()
    assert main(["export", str(file), "--out", str(tmp_path / "." / "schedule.json")]) == 2
    assert "is the exported file itself, and would be lost" in capsys.readouterr().err
    assert file.read_text() == before


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
    """Notes go to stderr, so the output stays JSON or CSV."""
    (tmp_path / "run").mkdir()
    file = tmp_path / "run" / "schedule_K2.json"
    Schedule((999.0, 5.0, 0.0), "given", flow=flow).save(file)
    for what, first in (([file], "[999.0"), ([file, "--format", "csv"], "step,sigma"), ([file.parent], '{"2": [999.0')):
        assert main(["export", *map(str, what)]) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith(first)
        assert ("these are σ: samplers that take s = σ/(1+σ) need --format comfyui" in printed.err) == flow
        assert printed.err.count("\n") == flow
    for what in ("comfyui", "json"):  # these convert, or state it themselves
        assert main(["export", str(file), "--format", what]) == 0
        assert capsys.readouterr().err == ""
    assert main(["export", str(file), "--format", "diffusers"]) == (2 if flow else 0)
    error = capsys.readouterr().err
    assert ("--scheduler FOLDER" in error) == flow
    assert error.count("\n") == flow


def test_export_of_a_folder_of_schedules_by_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `learn` writes them, one per call, beside other JSON files."""
    Schedule((80.0, 1.0, 0.0), "given").save(tmp_path / "two.json")
    Schedule((80.0, 5.0, 1.0, 0.0), "given").save(tmp_path / "a_three.json")
    (tmp_path / "history.json").write_text("[]")
    assert main(["export", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"2": [80.0, 1.0, 0.0], "3": [80.0, 5.0, 1.0, 0.0]}
    Schedule((80.0, 2.0, 0.0), "given").save(tmp_path / "again.json")
    assert main(["export", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'again.json'} and {tmp_path / 'two.json'} both have 2 steps" in error
    (tmp_path / "schedule_K5.json").write_text("{}")  # a damaged schedule, not another file
    assert main(["export", str(tmp_path)]) == 2
    assert "schedule_K5.json is not a schedule file" in capsys.readouterr().err


def test_export_to_a_file_that_loads(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "copy.json"
    assert main(["export", str(run_folder / "schedule_K5.json"), "--format", "json", "--out", str(out)]) == 0
    assert Schedule.load(out) == Schedule.load(run_folder / "schedule_K5.json")
