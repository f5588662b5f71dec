"""Runs part of the benchmark on a local Ray with two workers, and kills one in the middle. Nothing may be lost.

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
from contextlib import suppress
from pathlib import Path

from art_gym.agents.benchmark.results import read
from art_gym.agents.benchmark.run import missing, run
from art_gym.agents.benchmark.suite import load_suite

METHODS, TASK = ("edm", "arctan", "cosine", "edm_tuned"), "gaussian_1d"
WORKERS = 2
KILLED_AFTER = 20  # results


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


def main() -> None:
    """Run, kill, compare."""
    try:
        import ray
    except ImportError as error:
        print(f"skipped, since Ray is not installed ({error}): see the first lines of this file")
        return
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    jobs = missing(load_suite("v1"), METHODS, [TASK], [], [])
    with tempfile.TemporaryDirectory() as folder:
        file, left = Path(folder) / "results.jsonl", list[int]()
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
    ray.shutdown()


if __name__ == "__main__":
    main()
