"""A run that is killed loses nothing of what was saved."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from art_gym.agents.runs.folder import Run

PROGRAM = "from art_gym.agents.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"


def command(folder: Path, *more: str) -> list[str]:
    arguments = ["train", "--env", "ARTDiffusion-Gaussian1D-v0", "--num-steps", "5", "--timesteps", "4000"]
    return [sys.executable, "-c", PROGRAM, *arguments, "--no-progress", "--out", str(folder), *more]


@pytest.mark.slow
def test_kill_and_resume(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(Run(folder).history()) < 5:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    saved = Run(folder).history()
    assert 5 <= len(saved) < 40
    done = subprocess.run(command(folder, "--resume"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    history = Run(folder).history()
    assert history[: len(saved)] == saved
    assert history[-1].steps >= 4000
    assert (folder / "schedule_K5.json").exists()
    assert not list(folder.glob(".*"))
