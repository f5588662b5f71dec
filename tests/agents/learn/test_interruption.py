"""`art-gym learn` keeps the best so far whenever it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.learn import loading
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
from art_gym.denoisers import FunctionDenoiser
from art_gym.schedules import Schedule
from art_gym.tasks.registry import get_task


def test_a_schedule_that_is_there_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "s.json"
    out.write_text("proven")
    assert main(["learn", "--task", "gaussian_1d", "--budget", "5s", "-o", str(out), "--no-progress"]) == 2
    assert "s.json exists already" in capsys.readouterr().err
    assert out.read_text() == "proven"
    out.rename(tmp_path / "kept.json")
    (tmp_path / "s_report.md").write_text("proof of kept.json")
    assert main(["learn", "--task", "gaussian_1d", "--budget", "5s", "-o", str(out), "--no-progress"]) == 2
    assert "s_report.md exists already" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interruption_keeps_the_best(sent: signal.Signals, tmp_path: Path) -> None:
    """timeout, SLURM and docker send SIGTERM."""
    out = tmp_path / "s.json"
    command = [sys.executable, "-m", "art_gym.agents", "learn", "--task", "mixture_1d", "--budget", "10h"]
    process = subprocess.Popen(
        [*command, "-o", str(out), "--no-progress"],
        stdout=subprocess.PIPE,
        text=True,
        # jobs in a shell's background, such as this suite, ignore Ctrl-C, and child processes inherit that
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    while not out.exists():
        assert process.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.02)
    os.kill(process.pid, sent)
    report, _ = process.communicate()
    assert "it was interrupted" in report
    assert process.returncode == 0
    assert Schedule.load(out).num_steps == 8


def test_interruption_of_the_report_says_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(Learner, "_report", interrupted)
    out = tmp_path / "s.json"
    assert main(["learn", "--task", "mixture_1d", "--budget", "30000nfe", "-o", str(out), "--no-progress"]) == 130
    assert f"art-gym: interrupted; {out} holds the best schedule so far, without a report" in capsys.readouterr().err
    assert Schedule.load(out).num_steps == 8


def test_what_will_not_do_at_the_end_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A bad file or agent is refused before the model is loaded and anything is computed."""
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: pytest.fail("loaded"))
    (tmp_path / "file").touch()
    for out, agent, message in (
        (tmp_path, "ppo", "is a folder: name a file in it"),
        (tmp_path / "file" / "s.json", "ppo", "cannot write to"),
        (tmp_path / "s.json", "DQN", "'DQN' is for discrete actions"),
    ):
        assert main(["learn", "--model", "any", "-o", str(out), "--agent", agent, "--no-progress"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_interruption_before_anything_was_found(tmp_path: Path) -> None:
    def interrupted(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    task = FunctionDenoiser(interrupted, (2,))
    learner = Learner(task, "mine", 5, "euler", Budget(evaluations=9), tmp_path / "s.json", progress=False)
    with pytest.raises(ValueError, match=r"it was interrupted in .* before the closed form .*: nothing was written"):
        learner.run()
    learner = Learner(
        get_task("ring_2d"), "ring_2d", 5, "euler", Budget(evaluations=9), tmp_path / "s.json", progress=False
    )
    with pytest.raises(ValueError, match=r"the budget was spent before .* ten times as much"):
        learner.run()
