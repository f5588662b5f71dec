"""Runs survive the death of a worker and of the command, and make only what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from joblib.externals.loky import reusable_executor

from art_gym.agents.benchmark.measure import Job
from art_gym.agents.benchmark.method import METHODS
from art_gym.agents.benchmark.results import read
from art_gym.agents.benchmark.run import chosen, expected, missing, run
from art_gym.agents.benchmark.suite import load_suite
from art_gym.agents.cli.main import main

SUITE = load_suite("v1")
TASK = "gaussian_1d"
NAMES = ("edm", "arctan", "cosine", "beta")
ALL = 3 * 5 * 5 * len(NAMES)  # solvers, K and seeds


def jobs(file: Path) -> list[Job]:
    return missing(SUITE, NAMES, [TASK], [], read([file]))


def wait_for(file: Path, lines: int) -> None:
    while not file.exists() or len(file.read_text().splitlines()) < lines:
        time.sleep(0.005)


def test_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    wanted = missing(SUITE, ["edm"], [TASK], [0, 1], [])
    assert len(wanted) == 3 * 5 * 2
    assert run(wanted[:2], file, 1, progress=False) == []
    assert missing(SUITE, ["edm"], [TASK], [0, 1], read([file])) == wanted[2:]
    with pytest.raises(ValueError, match="suite v1 has no task 'digit'"):
        missing(SUITE, ["edm"], ["digit"], [], [])
    with pytest.raises(ValueError, match="unknown method 'emd': did you mean 'edm'"):
        missing(SUITE, ["emd"], [], [], [])


def test_a_line_says_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    run(missing(SUITE, ["edm"], [TASK], [1], [])[:1], file, 1, progress=False)
    (line,) = read([file])
    assert (line.score, line.calls, line.steps) == (0, 0, 0)  # EDM's grid is the scale's zero
    assert line.sigmas is not None
    assert len(line.sigmas) == line.num_steps + 1


@pytest.mark.timeout(120)
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    left: list[int] = []

    def kill() -> None:
        wait_for(file, 5)
        victim = next(iter(reusable_executor._executor._processes))
        os.kill(victim, signal.SIGKILL)
        left.append(ALL - len(file.read_text().splitlines()))

    killer = threading.Thread(target=kill)
    killer.start()
    assert run(jobs(file), file, 2, progress=False) == []
    killer.join()
    assert left[0] > 0, "all was done before the worker was killed"
    assert len(read([file])) == len(file.read_text().splitlines()) == ALL


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    command = ["benchmark", "run", "--tasks", TASK, "--methods", *NAMES, "--out", str(file), "--no-progress"]
    running = subprocess.Popen([sys.executable, "-m", "art_gym.agents", *command], start_new_session=True)
    wait_for(file, 5)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = file.read_text().splitlines()
    assert 5 <= len(before) < ALL
    assert main(command) == 0
    after = file.read_text().splitlines()
    assert after[: len(before)] == before
    assert len(after) == len(read([file])) == ALL


def test_a_method_that_fails_stops_no_other(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    wanted = [job._replace(seed=9) for job in missing(SUITE, ["edm"], [TASK], [0], [])[:1]]
    wanted += missing(SUITE, ["edm"], [TASK], [0], [])[:1]
    (said,) = run(wanted, file, 1, progress=False)
    assert "seed 9: IndexError" in said
    assert len(read([file])) == 1


def test_an_estimate_learns_from_results(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    wanted = missing(SUITE, ["step_optim"], [TASK], [0], [])
    assert set(expected(wanted, []).values()) == {0.1}
    run(wanted[:1], file, 1, progress=False)
    lines = read([file])
    assert set(expected(wanted, lines).values()) == {lines[0].seconds}


def test_methods_by_class() -> None:
    assert chosen(METHODS, ["probe", "edm"]) == ["art_of_probe", "instant", "instant_sampler", "edm"]
    assert chosen(METHODS, ["closed_form"]) == [name for name in METHODS if METHODS[name].kind == "closed form"]
    assert chosen(METHODS, []) == list(METHODS)


def test_ray_is_asked_for_where_it_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        import ray  # noqa: F401
    except ImportError:
        command = ["benchmark", "run", "--methods", "edm", "--tasks", TASK, "--backend", "ray"]
        assert main([*command, "--out", str(tmp_path / "r.jsonl"), "--no-progress"]) == 2
        assert "--backend ray needs Ray: pip install ray" in capsys.readouterr().err
