"""`art-gym instant` and `art-gym train-instant`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from art_gym import Schedule
from art_gym.agents.cli.main import main
from art_gym.samplers import Sampler
from art_gym.schedules.instant import load_policy


def test_a_task_gets_a_file_and_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "schedule.json"
    arguments = ["instant", "--task", "ring_2d", "--steps", "6", "-o", str(out), "--compare", "--noises", "64"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    schedule = Schedule.load(out)
    assert (schedule.num_steps, schedule.task, schedule.solver) == (6, "ring_2d", "dpmpp_2m")
    first, *_ = printed.splitlines()
    assert first.startswith("it took")
    assert all(name in printed for name in ("EDM ρ=7", "ART closed form", "**instant**"))
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_sampler_is_written_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sampler.json"
    arguments = ["instant", "--task", "ring_2d", "--steps", "6", "--sampler", "-o", str(out), "--compare"]
    assert main([*arguments, "--noises", "64"]) == 0
    assert "**instant**" in capsys.readouterr().out
    sampler = Sampler.load(out)
    assert (sampler.num_steps, sampler.task, sampler.method) == (6, "ring_2d", "instant")
    assert sampler.memory == 2


def test_a_folder_gets_a_file(tmp_path: Path, tiny_model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import diffusers

    tiny_model().save_pretrained(tmp_path / "model")
    diffusers.DDIMScheduler().save_pretrained(tmp_path / "scheduler")
    out = tmp_path / "schedule.json"
    arguments = ["--model", str(tmp_path / "model"), "--scheduler", str(tmp_path / "scheduler"), "-o", str(out)]
    assert main(["instant", *arguments, "--solver", "euler"]) == 0
    assert "evaluations" in capsys.readouterr().out
    assert Schedule.load(out).task == "model:model"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name either --model"),
        (["--task", "ring_2d", "--steps", "40"], "3 to 20 steps, got 40"),
        (["--task", "ring_2d", "--solver", "rk4"], "'rk4'"),
        (["--task", "ring_2d", "--solver", "euler", "--sampler"], "begin with dpmpp_2m, got 'euler'"),
        (["--task", "ring_2d", "--data-std", "2"], "leave out --data-std"),
        (["--model", "nowhere", "--compare"], "--compare needs a task"),
        (["--task", "ring_2d", "--compare", "--noises", "0"], "from 1 to 2048"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "schedule.json"
    assert main(["instant", *arguments, "-o", str(out)]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert not out.exists()


def test_training_writes_a_policy_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from art_gym.agents.training import instant

    monkeypatch.setattr(instant, "train_instant", partial(instant.train_instant, steps=2, networks=1))
    out = tmp_path / "policy.safetensors"
    assert main(["train-instant", "--out", str(out), "--models", "2", "--no-progress"]) == 0
    policy = load_policy(out)
    assert len(policy.grid.first) == len(policy.sampler.first) == 1
    assert policy.facts["command"] == "art-gym train-instant --first 0 --models 2"
    assert float(policy.facts["seconds"]) >= 0
