"""Worker processes that make a model once and call it: joblib's own (loky), or those of a Ray cluster."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock, Timeout
from joblib import cpu_count
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from art_gym.common.messages import place_of, told
from art_gym.denoisers.base import Denoiser

Load = Callable[[], Denoiser]
Wait = Callable[[], np.ndarray]
LOOKED_AT = 64  # elements of a denoised latent, by which two models are told apart
SAME = 1e-2  # relative differences that rounding explains, of half precision too
FREED_WITHIN = 60.0  # seconds after its end in which the system frees the place of a worker


@dataclass(frozen=True, eq=False)
class Order:
    """What workers are sent once.

    Attributes:
        loads: functions that make the model, one for each worker.
        expected: what `look` sees of it.
        folder: of the locks by which each worker takes one of these functions. With Ray they are all alike, and workers
            on other machines do not see it.
    """

    loads: tuple[Load, ...]
    expected: np.ndarray
    folder: Path | None


class Workers(Protocol):
    """Processes that call a model.

    Attributes:
        count: how many.
        died: what is raised when one has ended.
    """

    count: int
    died: tuple[type[BaseException], ...]

    def begin(self) -> None:
        """Start them, in place of those before."""

    def send(self, x: np.ndarray, sigma: np.ndarray) -> Wait:
        """Send a part of a batch. Returns a function that waits for its result."""

    def end(self) -> None:
        """End them at once."""


class Processes:
    """Processes of this machine."""

    def __init__(self, order: Order) -> None:
        self.count, self.order = len(order.loads), order
        self.died: tuple[type[BaseException], ...] = (BrokenProcessPool,)
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        threads = os.environ.get("OMP_NUM_THREADS", str(max(cpu_count() // (1 + self.count), 1)))
        return ProcessPoolExecutor(
            self.count, initializer=_start_here, initargs=(self.order, os.getpid()), env={"OMP_NUM_THREADS": threads}
        )

    def begin(self) -> None:
        """See `Workers`."""
        self.end()
        self._pool = self._started()

    def send(self, x: np.ndarray, sigma: np.ndarray) -> Wait:
        """See `Workers`."""
        wait: Wait = self._pool.submit(called, x, sigma).result
        return wait

    def end(self) -> None:
        """See `Workers`."""
        self._pool.shutdown(kill_workers=True)


class RayWorkers:
    """Processes of a Ray cluster, in the pool that `ray.util.joblib` uses too.

    Raises:
        ValueError: where Ray is not installed, or for more workers than the cluster has cores.
    """

    def __init__(self, order: Order, gpu: bool) -> None:
        try:
            from ray.exceptions import RayError
        except ImportError:
            raise ValueError("--backend ray needs Ray: pip install ray, and start a cluster with `ray start`") from None
        self.count, self.order = len(order.loads), order
        self.died: tuple[type[BaseException], ...] = (RayError,)
        self._resources = {"num_gpus": 1} if gpu else {}
        self._pool = self._started()

    def _started(self) -> Any:
        from ray.util.multiprocessing import Pool

        return Pool(self.count, initializer=start, initargs=(self.order,), ray_remote_args=self._resources)

    def begin(self) -> None:
        """See `Workers`."""
        self.end()
        self._pool = self._started()

    def send(self, x: np.ndarray, sigma: np.ndarray) -> Wait:
        """See `Workers`."""
        wait: Wait = self._pool.apply_async(called, (x, sigma)).get
        return wait

    def end(self) -> None:
        """See `Workers`."""
        self._pool.terminate()


class _Worker:
    """What a worker process has: its order, and the model once it is made."""

    order: Order
    model: Denoiser | None = None
    lock: FileLock | None = None  # held as long as the process lives


def start(order: Order) -> None:
    """Begin a worker. The model is made in the first call, where an error finds its way back."""
    _Worker.order = order


def _start_here(order: Order, parent: int) -> None:
    """Begin a worker of this machine. The parent alone hears Ctrl-C and SIGTERM, and ends it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    start(order)


def _end_with(parent: int) -> None:
    """End this process after its parent, which `kill -9` can end. Otherwise it would hold its GPU for ever."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def called(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """In a worker: D(x, σ) for (B, *shape) latents and (B,) levels.

    Raises:
        ValueError: if the model cannot be made or called, or is not that of the process that asks.
    """
    try:
        if _Worker.model is None:
            _Worker.model = _made(_Worker.order)
        found: np.ndarray = _Worker.model(x, sigma)
    except Exception as error:
        if isinstance(error, ValueError) or place_of(error) is None:
            raise
        raise ValueError(told(error)) from None  # the user's own code raised it, and its place would not get back
    return found


def _made(order: Order) -> Denoiser:
    """Make the model, and check that it is the one of the process that asks."""
    load = order.loads[0] if order.folder is None else order.loads[_place(order.folder, len(order.loads))]
    model = load()
    off = np.abs(look(model) - order.expected).max() / np.abs(order.expected).max()
    if not off <= SAME:
        raise ValueError(
            f"the model of a worker is another one, by {off:.0e} of what it gives: bring the same files to each "
            f"machine, and seed what is drawn when the model is loaded"
        )
    return model


def _place(folder: Path, count: int) -> int:
    """Take a place among so many that no living worker has."""
    until = time.monotonic() + FREED_WITHIN
    while time.monotonic() < until:
        for place in range(count):
            lock = FileLock(folder / f"{place}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _Worker.lock = lock
            return place
        time.sleep(0.1)
    raise ValueError(f"{count} workers that ended still hold their devices after {FREED_WITHIN:g} s: start again")


def look(model: Denoiser) -> np.ndarray:
    """Some elements of D for a latent drawn from a fixed seed, at the middle of the noise range."""
    middle = (model.sigma_min * model.sigma_max) ** 0.5
    drawn = np.random.default_rng(0).standard_normal((1, *model.shape), np.float32)
    found = model(np.float32(model.sigma_max) * drawn, np.full(1, middle, np.float32)).ravel()
    seen: np.ndarray = found[:: max(len(found) // LOOKED_AT, 1)]
    return seen
