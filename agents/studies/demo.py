"""The demo: an agent for a range of budgets on the default environment, beside its rivals and every other schedule."""

from __future__ import annotations

import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from art_gym.common.isolation import isolated
from art_gym.common.signals import handling
from art_gym.evaluation.edm_curve import STEPS, EdmCurve, edm_errors
from art_gym.search.base import SEARCHES

from ..reports.comparison import baselines
from ..reports.report import write_report
from ..runs.config import TABLE_BUDGETS, TrainConfig
from ..runs.folder import Run
from ..runs.outcome import Outcome
from ..training.run import train

ENV_ID = "ARTDiffusion-v0"
TASK, SOLVER = "digits", "dpmpp_2m"  # its own
BUDGETS = (TABLE_BUDGETS[0], TABLE_BUDGETS[-1])
EPISODES = 16_000
LANES, POPULATION = 32, 16  # half the evaluations of 16 of 64 in as many episodes, for a score as good
EDM_PARTS = range(33, 52), range(21, 33), range(21)  # of EDM's curve, as far as it will be read: in pieces, to share
QUICK = 20  # by this much less training with --quick


@isolated()
def demo(out: Path, seed: int, quick: bool) -> str:
    """Train, compare and draw; returns the report. An earlier demo in the folder is replaced.

    One process trains the agent while another begins with the rest, in which both then share: it is made for two cores.

    Raises:
        ValueError: if the folder holds another run.
    """
    if (out / "config.yaml").exists():
        before = Run(out).config()
        if before not in (_agent(before.seed, True), _agent(before.seed, False)):
            raise ValueError(f"{out} holds a run that is no demo: remove it, or name another folder with --out")
        shutil.rmtree(out)
    with _one_thread():
        return _demo(out, seed, quick)


def _demo(out: Path, seed: int, quick: bool) -> str:
    agent = _agent(seed, quick)
    tasks: deque[Callable[[], Any]] = deque()
    strangers = set(active_children())  # of who calls this
    for algo in SEARCHES:
        config = TrainConfig(ENV_ID, algo, seed, {"num_steps": list(BUDGETS)}, n_timesteps=200 if quick else None)
        tasks.append(partial(train, config, Run(out / algo), resume=False, progress=False))
    tasks += [partial(baselines, TASK, SOLVER, [k]) for k in reversed(TABLE_BUDGETS)]  # the longest first
    if not quick:
        tasks += [partial(edm_errors, TASK, SOLVER, [k for k in STEPS if k in part]) for part in EDM_PARTS]
    with (
        ProcessPoolExecutor(1, get_context("spawn"), _begin_beside) as process,
        ThreadPoolExecutor(1) as feeder,
    ):
        done: list[Any] = []
        total = len(tasks)

        def feed() -> None:
            for task in _taken(tasks):
                done.append(process.submit(_until_terminated, task).result())

        # Ctrl-C reaches both processes of a terminal: this one ends the other, which would print a traceback.
        with handling(signal.SIGINT, signal.SIG_IGN):  # which a new process inherits
            process.submit(int)
        others = feeder.submit(feed)
        try:
            outcome = train(agent, Run(out), resume=False, progress=True)
            with tqdm(total=total, initial=len(done), desc="comparing with rivals and hand-made grids") as bar:
                for task in _taken(tasks):
                    done.append(task())
                    bar.update(len(done) - bar.n)
                others.result()
                bar.update(total - bar.n)
        except BaseException:
            tasks.clear()
            for child in set(active_children()) - strangers:
                child.terminate()
            others.exception()
            raise
    # In an order that does not depend on who did what.
    rivals = sorted(
        (each for each in done if isinstance(each, Outcome)), key=lambda each: list(SEARCHES).index(each.method)
    )
    rows = sorted((row for each in done if isinstance(each, list) for row in each), key=lambda row: row.num_steps)
    known = {k: error for each in done if isinstance(each, dict) for k, error in each.items()}
    return write_report(out, outcome, rivals, rows, Run(out).history(), EdmCurve(TASK, SOLVER, known=known))


def _taken(tasks: deque[Callable[[], Any]]) -> Iterator[Callable[[], Any]]:
    """The tasks from the front, for as long as nobody else has taken the last."""
    while True:
        try:
            task = tasks.popleft()
        except IndexError:
            return
        yield task


def _one_thread() -> threadpool_limits:
    """In either process: on two cores, more threads than two only wait for each other."""
    torch.set_num_threads(1)
    return threadpool_limits(1, "blas")  # from now on, or for as long as a with lasts


def _begin_beside() -> None:
    """In the other process, which ends when it is asked to: no signal does it while it waits."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _one_thread()


def _until_terminated(task: Callable[[], Any]) -> Any:
    """In the other process: the task's result, or a KeyboardInterrupt where the process is terminated meanwhile."""
    with handling(signal.SIGTERM, signal.default_int_handler):
        return task()


def _agent(seed: int, quick: bool) -> TrainConfig:
    steps = (EPISODES // QUICK if quick else EPISODES) * sum(BUDGETS) // 2
    env = {"num_steps": list(BUDGETS), "population": POPULATION}
    return TrainConfig(ENV_ID, "ppo", seed, env, hyperparams={"num_envs": LANES}, n_timesteps=steps)
