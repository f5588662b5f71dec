"""Shares tasks between two processes, for two cores. The other one starts on them, and this one joins in later."""

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

Task = Callable[[], Any]  # must be picklable


class Beside:
    """The tasks, and the results of the finished ones in the order in which they ended."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._waiting = deque(tasks)
        self._total = len(self._waiting)
        self._done: list[Any] = []

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let another process work on the tasks during the block. An exception in the block ends both."""
        strangers = set(active_children())  # the caller's
        with (
            ProcessPoolExecutor(1, get_context("spawn"), _begin) as process,
            ThreadPoolExecutor(1) as feeder,
        ):
            # Ctrl-C reaches both processes of a terminal. The other one would print a traceback, so this one ends it.
            with handling(signal.SIGINT, signal.SIG_IGN):  # the new process inherits this
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
        """Do the tasks that the other process has not begun, and return all results. For use inside `working`."""
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
        """Take tasks from the front until none is left."""
        while True:
            try:
                task = self._waiting.popleft()
            except IndexError:
                return
            yield task


def one_thread() -> threadpool_limits:
    """Use one thread in this process. On two cores, more than two threads only wait for each other."""
    torch.set_num_threads(1)
    return threadpool_limits(1, "blas")  # from now on, or until the end of a with block


def _begin() -> None:
    """Set up the other process. It ignores SIGTERM while it waits, and ends on request."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    one_thread()


def _until_terminated(task: Task) -> Any:
    """Run a task in the other process. SIGTERM raises a KeyboardInterrupt in it."""
    with handling(signal.SIGTERM, signal.default_int_handler):
        return task()
