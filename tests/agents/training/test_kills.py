"""Whatever ends a run, what was saved stays whole, and no temporary file stays for good."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.runs.folder import RESULTS, Run
from art_gym.agents.training.checkpoint import load_model
from art_gym.agents.training.setup import Setup
from art_gym.common.files import remove_left_overs, replacing, write_text
from art_gym.schedules import Schedule

PROGRAM = "from art_gym.agents.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"
KILLS = 5  # of each command


def training(folder: Path, *more: str) -> list[str]:
    arguments = ["train", "--env", "ARTDiffusion-Gaussian1D-v0", "--num-steps", "5", "--timesteps", "40000"]
    return [*arguments, "--no-progress", "--out", str(folder), *more]


def killed(arguments: list[str], begun: Path, after: float) -> None:
    """Kill a command some time after a file of it exists."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not begun.exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_kills_of_training_lose_nothing_that_was_saved(tmp_path: Path) -> None:
    run, moments, saved = Run(tmp_path / "run"), random.Random(31), 0
    for kill in range(KILLS):
        more = ["--resume"] if kill else []
        killed(training(run.folder, *more), run.folder / "history.json", moments.uniform(0.0, 1.5))
        history = run.history()  # whole, or this raises
        assert len(history) >= saved
        saved = len(history)
        for name in ("best.pt", "checkpoint.pt"):
            load_model(Setup.resolve(run.config()).make_model(), run.folder / name)
    remove_left_overs(run.folder, (*RESULTS, "config.yaml"))  # as a resumed run does
    assert not list(run.folder.glob(".*"))


@pytest.mark.slow
def test_kills_of_learn_leave_a_whole_schedule(tmp_path: Path) -> None:
    moments = random.Random(31)
    for kill in range(KILLS):
        out = tmp_path / f"s{kill}.json"
        arguments = ["learn", "--task", "gaussian_1d", "--steps", "5", "--budget", "1h", "--no-progress"]
        killed([*arguments, "-o", str(out)], out, moments.uniform(0.0, 1.5))
        assert Schedule.load(out).num_steps == 5


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """A quota on the size of files stands for the disk."""
    file = tmp_path / "file.json"
    write_text(file, "before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            write_text(file, "x" * 10_000)
        with pytest.raises(OSError, match="too large"), replacing(file) as temporary, temporary.open("wb") as handle:
            handle.write(b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert file.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["file.json"]


@pytest.mark.slow
@pytest.mark.parametrize("least", [500, 5000])
def test_a_run_on_a_full_disk_is_one_line(least: int, tmp_path: Path) -> None:
    """The quota holds for the whole command, from its first file on."""

    def quota() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, least))

    short = ["--timesteps", "200", "--hyperparams", "warm_start", "0"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *training(tmp_path / "run", *short)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=quota,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "File too large" in done.stderr
    assert not [file for file in (tmp_path / "run").glob(".*") if file.is_file()]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for this user")
@pytest.mark.parametrize(
    "arguments",
    [["train", "--out", "run/x"], ["learn", "--task", "gaussian_1d", "-o", "run/s.json", "--budget", "9nfe"]],
)
def test_a_read_only_folder_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir(mode=0o555)
    assert main([*arguments, "--no-progress"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("place", ["/proc/art_gym", "/sys/art_gym"])
@pytest.mark.skipif(sys.platform != "linux", reason="these folders are Linux's")
def test_a_folder_that_takes_no_files_is_one_line(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even the superuser can write there."""
    assert main([*training(Path(place)), "--hyperparams", "warm_start", "0"]) == 2
    assert main(["learn", "--task", "gaussian_1d", "-o", f"{place}.json", "--budget", "9nfe", "--no-progress"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
