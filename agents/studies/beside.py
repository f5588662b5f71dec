"""Work for two processes: one begins with a list of tasks beside this one, which later joins in. For two cores."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from art_gym.common.signals import handling

Task = Callable[[], Any]  # that can cross to another process


class Beside:
    """The tasks, and what came of those that are done, in the order in which they ended."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._waiting = deque(tasks)
        self._total = len(self._waiting)
        self._done: list[Any] = []

    @contextmanager
    def working(self) -> Iterator[None]:
        """Another process works through the tasks for as long as the block lasts; an exception in it ends both."""
        strangers = set(active_children())  # of who calls this
        with (
            ProcessPoolExecutor(1, get_context("spawn"), _begin) as process,
            ThreadPoolExecutor(1) as feeder,
        ):
            # Ctrl-C reaches both processes of a terminal: this one ends the other, which would print a traceback.
            with handling(signal.SIGINT, signal.SIG_IGN):  # which a new process inherits
                process.submit(int)
            self._others = feeder.submit(self._feed, process)
            try:
                yield
            except BaseException:
                self._waiting.clear()
                for child in set(active_children()) - strangers:
                    child.terminate()
                self._others.exception()
                raise

    def join_in(self, doing: str) -> list[Any]:
        """Do what the other process has not begun, wait for it, and return all results: in the block of `working`."""
        with tqdm(total=self._total, initial=len(self._done), desc=doing) as bar:
            for task in self._taken():
                self._done.append(task())
                bar.update(len(self._done) - bar.n)
            self._others.result()
            bar.update(self._total - bar.n)
        return self._done

    def _feed(self, process: ProcessPoolExecutor) -> None:
        for task in self._taken():
            self._done.append(process.submit(_until_terminated, task).result())

    def _taken(self) -> Iterator[Task]:
        """The tasks from the front, for as long as nobody else has taken the last."""
        while True:
            try:
                task = self._waiting.popleft()
            except IndexError:
                return
            yield task


def one_thread() -> threadpool_limits:
    """In either process: on two cores, more threads than two only wait for each other."""
    torch.set_num_threads(1)
    return threadpool_limits(1, "blas")  # from now on, or for as long as a with lasts


def _begin() -> None:
    """In the other process, which ends when it is asked to: no signal does it while it waits."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    one_thread()


def _until_terminated(task: Task) -> Any:
    """In the other process: the task's result, or a KeyboardInterrupt where the process is terminated meanwhile."""
    with handling(signal.SIGTERM, signal.default_int_handler):
        return task()
