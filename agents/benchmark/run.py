"""Run what a file of results lacks, in processes of this machine or of a Ray cluster."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

import art_gym
from art_gym.common.messages import one_line

from .measure import Job, hyperparameters, run_job
from .method import METHODS, Kind
from .results import Line, append, read
from .suite import Suite

Backend = Literal["loky", "ray"]
PART = 8  # runs a worker in each part of a Ray cluster's work
LIVES = 5  # times that all workers may end without a single result between
# Seconds of a run before any is known, for the estimate.
USUAL: dict[Kind, float] = {
    "hand-made": 0.1,
    "closed form": 2,
    "probe": 0.2,
    "gradient-free search": 3,
    "gradient": 5,
    "RL": 100,
    "floor": 0.3,
}
Outcome = tuple[Job, Line | str]  # a result, or what went wrong


def missing(
    suite: Suite, methods: Iterable[str], tasks: Iterable[str], seeds: Iterable[int], lines: Iterable[Line]
) -> list[Job]:
    """The jobs of a suite whose results are not among the lines, a task at a time and the methods in their order.

    Raises:
        ValueError: for an unknown method or task.
    """
    known, tasks, seeds = {line.key for line in lines}, list(tasks), list(seeds)
    every = list(dict.fromkeys(cell.task for cell in suite.cells()))
    if strange := [task for task in tasks if task not in every]:
        raise ValueError(f"suite {suite.name} has no task {strange[0]!r}: choose one of {', '.join(every)}")
    found = []
    for algorithm in methods:
        method = METHODS.find(algorithm)
        for cell in suite.cells():
            if cell.task in (tasks or every) and method.takes(cell):
                jobs = [Job(suite.name, algorithm, cell, seed) for seed in range(len(suite.group(cell).firsts))]
                jobs = [job for job in jobs if not seeds or job.seed in seeds]
                mark = hyperparameters(jobs[0]) if jobs else ""
                found += [job for job in jobs if (job.suite, algorithm, cell, job.seed, mark) not in known]
    return sorted(found, key=lambda job: every.index(job.cell.task))


def run(jobs: list[Job], file: Path, workers: int, backend: Backend = "loky", progress: bool = True) -> list[str]:
    """Run jobs and append each result as it comes. Returns what went wrong, a line each.

    If a worker is killed, the jobs without a result run again.

    Raises:
        ValueError: for Ray where it is not installed.
        RuntimeError: if all workers end again and again.
    """
    lines = read([file])
    seconds = expected(jobs, lines)
    commit, failed, lives = commit_of_code(), {}, LIVES
    left = dict.fromkeys(jobs)
    with tqdm(total=round(sum(seconds.values())), unit="s", disable=not progress, desc="CPU seconds") as bar:
        while left and lives:
            before = len(left)
            try:
                for job, found in _outcomes(list(left), commit, workers, backend):
                    bar.set_postfix_str(f"{job.algorithm}, {job.cell}")
                    bar.update(seconds[job])
                    del left[job]
                    if isinstance(found, Line):
                        append(file, found)
                    else:
                        failed[job] = found
            except _killed() as error:
                lives = LIVES if len(left) < before else lives - 1
                bar.write(f"a worker ended ({one_line(error, 80)}): {len(left)} runs are left")
    if left:
        raise RuntimeError(f"{LIVES} times all workers ended before a result came: {next(iter(left)).cell} is next")
    return [f"{job.algorithm}, {job.cell}, seed {job.seed}: {said}" for job, said in failed.items()]


def expected(jobs: Iterable[Job], lines: Iterable[Line]) -> dict[Job, float]:
    """CPU seconds of each job, from results of the same method, if possible for the same task."""
    known: dict[tuple[str, str], list[float]] = {}
    for line in lines:
        for task in (line.task, ""):
            known.setdefault((line.algorithm, task), []).append(line.seconds)
    means = {key: float(np.mean(values)) for key, values in known.items()}

    def of(job: Job) -> float:
        usual = USUAL[METHODS[job.algorithm].kind]
        return means.get((job.algorithm, job.cell.task), means.get((job.algorithm, ""), usual))

    return {job: of(job) for job in jobs}


def commit_of_code() -> str:
    """The commit that this code is of, or the version of art_gym where it is no checkout of git."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return art_gym.__version__
    return found.stdout.strip() or art_gym.__version__


def _outcomes(jobs: list[Job], commit: str, workers: int, backend: Backend) -> Iterator[Outcome]:
    """Results as they come. Ray's backend gives none before all that it was asked for, so it is asked in parts."""
    asked = [joblib.delayed(attempt)(job, commit) for job in jobs]
    if backend == "loky":
        run_all = joblib.Parallel(workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
        yield from run_all(asked)
        return
    _register_ray()
    size = PART * joblib.effective_n_jobs(workers)
    with joblib.parallel_config(backend="ray"), joblib.Parallel(workers, batch_size=1) as run_part:
        for begin in range(0, len(asked), size):
            yield from run_part(asked[begin : begin + size])


def attempt(job: Job, commit: str) -> Outcome:
    """Run a job in a worker. An error of the method is a result too, so that it stops no other job."""
    try:
        return job, run_job(job, commit)
    except (ArithmeticError, LookupError, ValueError, RuntimeError) as error:
        return job, f"{type(error).__name__}: {one_line(error, 200)}"


def _register_ray() -> None:
    try:
        from ray.util.joblib import register_ray
    except ImportError:
        raise ValueError("--backend ray needs Ray: pip install ray, and start a cluster with `ray start`") from None
    register_ray()


def _killed() -> tuple[type[BaseException], ...]:
    """What is raised when a worker is killed."""
    try:
        from ray.exceptions import RayError
    except ImportError:
        return (TerminatedWorkerError,)
    return TerminatedWorkerError, RayError


def chosen(methods: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Methods by name or by class, all for none."""
    found: list[str] = []
    for name in names:
        of_kind = [key for key in methods if re.sub("[ -]", "_", methods[key].kind) == name]
        found += of_kind or [name]
    return list(dict.fromkeys(found)) or list(methods)
