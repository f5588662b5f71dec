"""Several processes share a model's calls: with the results of one, and a worker that ends loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
from art_gym.agents.learn.sharing import alone, shared
from art_gym.agents.learn.unfinished import unfinished_file
from art_gym.samplers import Sampler
from art_gym.schedules import Schedule
from art_gym.tasks.registry import get_task

# A module of a user's. What it does in a worker depends on the files beside it.
MODULE = """
import os, signal, time
from pathlib import Path
import numpy as np
import art_gym

FOLDER, HEAD, calls = Path(__file__).parent, int(os.environ["THE_HEAD"]), 0


def denoise(x, sigma):
    global calls
    calls += 1
    worker = os.getpid() != int(os.environ["THE_HEAD"])
    if worker:
        (FOLDER / "pid").write_text(str(os.getpid()))
    if worker and (FOLDER / "fails").exists():
        raise RuntimeError("the power failed")
    if worker and (FOLDER / "dies").exists() and calls >= int((FOLDER / "dies").read_text()):
        if not (FOLDER / "again").exists():
            (FOLDER / "dies").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return x / (1 + sigma[:, None] ** 2)


art_gym.register_task("mine", art_gym.FunctionDenoiser(denoise, (3,), data_std=1.0))


def two_modes():
    # Modes at -1 and 1 along each axis. No product of matrices, whose rounding would depend on the rows.

    def denoise(x, sigma):
        noise = sigma[:, None] ** 2
        return (0.04 * x + noise * np.tanh(x / (noise + 0.04))) / (noise + 0.04)

    return art_gym.FunctionDenoiser(denoise, (2,), data_std=1.0)


def placed(place):
    (FOLDER / f"place {place}").touch()
    while place and len(list(FOLDER.glob("place [12]"))) < 2:  # each worker waits for the other
        time.sleep(0.01)
    return art_gym.get_task("mine")
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, as `my_model`, also for workers."""
    (tmp_path / "my_model.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("THE_HEAD", str(os.getpid()))
    monkeypatch.setenv("ART_GYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "my_model", raising=False)
    import my_model

    return my_model


def drawn(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    return rng.standard_normal((count, *shape), np.float32), rng.uniform(0.1, 2, count).astype(np.float32)


def test_rows_come_back_in_order() -> None:
    task = get_task("ring_2d")
    with shared([partial(get_task, "ring_2d")] * 3) as model:
        for count in (1, 2, 3, 7, 32):
            x, sigma = drawn(count, task.shape)
            np.testing.assert_allclose(model(x, sigma), task(x, sigma), rtol=1e-5, atol=1e-6)
        assert model.fingerprint == task.fingerprint  # all else is the model's own
        assert model.device is None
        with alone(model):
            assert model(x, sigma) == pytest.approx(task(x, sigma), rel=1e-5, abs=1e-6)


def test_learns_the_same_with_two_workers_as_alone(
    mine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same budget, so the same evaluations, and numbers that differ by rounding."""
    found = []
    for jobs in (1, 3):
        out = tmp_path / f"{jobs}.json"
        monkeypatch.setenv("ART_GYM_CACHE", str(tmp_path / f"cache{jobs}"))  # or the second run would find endpoints
        with shared([mine.two_modes] * jobs) as model:
            learner = Learner(model, "two_modes", 4, "dpmpp_2m", Budget(evaluations=30_000), out, progress=False)
            learner.run()
        found.append((learner.meter.evaluations, Schedule.load(out), Sampler.load(tmp_path / f"{jobs}_sampler.json")))
    (alone_evaluations, *alone_plans), (evaluations, *plans) = found
    assert evaluations == alone_evaluations
    for ours, theirs in zip(plans, alone_plans, strict=True):
        assert ours.method == theirs.method
        np.testing.assert_allclose(ours.sigmas, theirs.sigmas, rtol=1e-5)
        assert ours.heldout_error == pytest.approx(theirs.heldout_error, rel=1e-4)


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(mine: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["learn", "--task", "my_model:mine", "--steps", "4", "--budget", "30000nfe", "--no-progress"]
    assert main([*command, "-o", str(tmp_path / "one.json")]) == 0
    capsys.readouterr()
    (tmp_path / "dies").write_text("200")  # calls of the worker: in the middle of the run
    assert main([*command, "--jobs", "2", "-o", str(tmp_path / "two.json")]) == 0
    said = capsys.readouterr().out
    assert said.count("art-gym: a worker ended (") == 1
    assert not (tmp_path / "dies").exists()
    one, two = (Schedule.load(tmp_path / f"{name}.json") for name in ("one", "two"))
    np.testing.assert_allclose(one.sigmas, two.sigmas, rtol=1e-5)


@pytest.mark.slow
def test_a_worker_that_fails_is_said_in_one_line(
    mine: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["learn", "--task", "my_model:mine", "--budget", "30000nfe", "--jobs", "2", "--no-progress"]
    (tmp_path / "fails").touch()
    assert main([*command, "-o", str(tmp_path / "s.json")]) == 2
    error = capsys.readouterr().err
    assert "RuntimeError: the power failed, in " in error
    assert "my_model.py, line" in error
    assert error.count("\n") == 1
    (tmp_path / "fails").unlink()
    (tmp_path / "dies").write_text("1")
    (tmp_path / "again").touch()
    assert main([*command, "-o", str(tmp_path / "s.json")]) == 2
    assert "art-gym: workers ended 5 times in a row: memory may be short" in capsys.readouterr().err
    assert not (tmp_path / "s.json").exists()


def test_each_worker_has_a_place_of_its_own(mine: ModuleType, tmp_path: Path) -> None:
    """If two took the same one, both would wait for ever."""
    with shared([partial(mine.placed, place) for place in range(3)]) as model:
        x, sigma = drawn(6, (3,))
        assert model(x, sigma) == pytest.approx(x / (1 + sigma[:, None] ** 2))
    assert {file.name for file in tmp_path.glob("place *")} == {"place 0", "place 1", "place 2"}


def test_a_model_that_is_another_one_in_a_worker_is_refused() -> None:
    loads = [partial(get_task, name) for name in ("gaussian_1d", "mixture_1d")]
    with (
        pytest.raises(ValueError, match=r"the model of a worker is another one, by .*: bring the same files"),
        shared(loads),
    ):
        pass


def test_an_object_that_no_other_process_can_make_is_refused() -> None:
    model, lock = get_task("gaussian_1d"), threading.Lock()
    with (
        pytest.raises(ValueError, match=r"cannot be made in other processes .*: give a function of a module"),
        shared([lambda: lock and model] * 2),
    ):
        pass


@pytest.mark.slow
def test_workers_end_with_a_command_that_is_killed_and_are_spared_by_ctrl_c(mine: ModuleType, tmp_path: Path) -> None:
    out, pid = tmp_path / "s.json", tmp_path / "pid"
    command = [sys.executable, "-m", "art_gym.agents", "learn", "--task", "my_model:mine", "--budget", "10h"]
    command += ["--jobs", "2", "-o", str(out), "--no-progress"]
    # a child of its own session, to which signals go as from a terminal
    options = {"start_new_session": True, "stdout": subprocess.PIPE, "text": True, "cwd": tmp_path}
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)

    def begun(process: subprocess.Popen[str], ready: Callable[[], bool]) -> int:
        while not (ready() and pid.exists() and (known := pid.read_text())):  # empty while the worker writes it
            assert process.poll() is None, "it ended before it could be stopped"
            time.sleep(0.02)
        return int(known)

    first = subprocess.Popen(command, preexec_fn=default, **options)  # type: ignore[call-overload]
    worker = begun(first, unfinished_file(out).exists)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    while alive(worker):
        time.sleep(0.02)
    pid.unlink()
    second = subprocess.Popen(command, preexec_fn=default, **options)  # type: ignore[call-overload]
    worker = begun(second, lambda: True)
    line = second.stdout.readline()  # type: ignore[union-attr]
    assert "going on after" in line
    os.killpg(second.pid, signal.SIGINT)
    report, _ = second.communicate()
    assert second.returncode == 0
    assert "it was interrupted" in report
    assert "a worker ended" not in report
    assert not alive(worker)


def alive(process: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_numbers_of_processes_and_devices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--task", "digits", "--jobs", "0"], "--jobs is a number of processes of at least 1, got 0"),
        (["--model", "any", "--jobs", "3", "--devices", "cpu", "cpu"], "names 2 devices for --jobs 3: name one for"),
        (["--task", "digits", "--jobs", "1", "--devices", "cpu"], "leave out --devices: it stands in the place of"),
        (["--model", "any", "--jobs", "2", "--backend", "ray", "--devices", "cpu", "cpu"], "Ray gives each worker"),
    ):
        assert main(["learn", *arguments, "--no-progress", "-o", str(tmp_path / "s.json")]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_ray_is_asked_for_where_it_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        import ray  # noqa: F401
    except ImportError:
        command = ["learn", "--task", "gaussian_1d", "--jobs", "2", "--backend", "ray", "--no-progress"]
        assert main([*command, "-o", str(tmp_path / "s.json")]) == 2
        assert "--backend ray needs Ray: pip install ray" in capsys.readouterr().err
