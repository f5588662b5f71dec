"""Runs part of the benchmark, and `learn`, on a local Ray with two workers, and kills one in the middle.

Nothing may be lost, and what is learned must be what one process learns.

    python -m venv ray && ray/bin/pip install --editable . ray
    ray/bin/python benchmarks/ray_local.py

Where Ray is not installed it says so and ends.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from art_gym.agents.benchmark.results import read
from art_gym.agents.benchmark.run import missing, run
from art_gym.agents.benchmark.suite import load_suite
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
from art_gym.agents.learn.sharing import shared
from art_gym.denoisers.base import Denoiser
from art_gym.schedules import Schedule
from art_gym.tasks.registry import get_task

METHODS, TASK = ("edm", "arctan", "cosine", "edm_tuned"), "gaussian_1d"
WORKERS = 2
KILLED_AFTER = 20  # results
LEARNED, BUDGET = "ring_2d", Budget(evaluations=30_000)


def workers() -> list[int]:
    """The processes that run jobs, which Ray names so. This reads /proc, so it is for Linux."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # a process that has ended
            if file.read_bytes().startswith(b"ray::PoolActor"):
                found.append(int(file.parent.name))
    return found


def kill_one(file: Path, left: list[int], total: int) -> None:
    """Kill a worker as soon as there are some results, and note how many are missing then."""
    while not file.exists() or len(read([file])) < KILLED_AFTER:
        time.sleep(0.02)
    os.kill(workers()[0], signal.SIGKILL)
    left.append(total - len(read([file])))


def benchmark(folder: Path) -> None:
    """Run jobs, kill a worker, and count the results."""
    jobs = missing(load_suite("v1"), METHODS, [TASK], [], [])
    file, left = folder / "results.jsonl", list[int]()
    killer = threading.Thread(target=kill_one, args=(file, left, len(jobs)), daemon=True)
    killer.start()
    failed = run(jobs, file, WORKERS, "ray", progress=False)
    killer.join(10)
    lines = read([file])
    assert not failed, failed
    assert left, "no worker was killed"
    assert left[0] > 0, "all was done before the worker was killed"
    assert len(lines) == len(file.read_text().splitlines()) == len(jobs)
    print(f"{len(jobs)} results; a worker was killed with {left[0]} to go, and nothing is missing or doubled")


def learn(model: Denoiser, out: Path, called: Callable[[float], object] = lambda _: None) -> np.ndarray:
    """Learn, with a function of the share of the budget after each call. Returns the levels."""
    os.environ["ART_GYM_CACHE"] = str(out.with_suffix(""))  # precise endpoints that are found there cost nothing
    learner = Learner(model, LEARNED, 4, "dpmpp_2m", BUDGET, out, progress=False)
    advance = learner.meter.called
    learner.meter.called = lambda: (advance(), called(learner.meter.share))
    learner.run()
    return np.array(Schedule.load(out).sigmas)


def learn_shared(folder: Path) -> None:
    """Learn with two workers, one of which is killed when half of the budget is spent, and alone."""
    killed: list[int] = []

    def kill(share: float) -> None:
        if share > 0.5 and not killed:
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    with shared([partial(get_task, LEARNED)] * (1 + WORKERS), "ray") as model:
        levels = learn(model, folder / "shared.json", kill)
    assert killed, "no worker was killed"
    np.testing.assert_allclose(levels, learn(get_task(LEARNED), folder / "alone.json"), rtol=1e-5)
    print(f"learn has the same levels with {WORKERS} workers as alone, and one of them was killed")


def main() -> None:
    """Run both where Ray is installed."""
    try:
        import ray
    except ImportError as error:
        print(f"skipped, since Ray is not installed ({error}): see the first lines of this file")
        return
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        benchmark(Path(folder))
        learn_shared(Path(folder))
    ray.shutdown()


if __name__ == "__main__":
    main()
