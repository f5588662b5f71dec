"""Shares the calls of a model among processes. Each has the model, and each gets some rows of every batch.

The split is at the call D(x, σ), so searches, meter and report are the same with one process as with many.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from joblib.externals.loky.backend.reduction import dumps
from tqdm import tqdm

from art_gym.common.messages import one_line
from art_gym.denoisers.base import Array, Denoiser, check_finite
from art_gym.denoisers.checks import check_call_once

from .workers import Load, Order, Processes, RayWorkers, Workers, look

Backend = Literal["loky", "ray"]
LIVES = 5  # times in a row that workers may end in the same call


class Shared:
    """A denoiser whose batches are split among this process and its workers. Their results come back in order.

    All that it does not compute itself, such as ``decode`` or ``labels``, is that of the model here. It has no
    ``device``, so that latents stay on the host between calls.

    Args:
        model: the model of this process.
        workers: the other processes.

    Raises:
        ValueError: if a worker's model fails, or if workers end again and again. The message says so.
    """

    device = None
    whole_run = None  # it would be of this process alone

    def __init__(self, model: Denoiser, workers: Workers) -> None:
        self.model, self.workers, self._alone = model, workers, False
        self.shape, self.data_std = model.shape, model.data_std
        self.sigma_min, self.sigma_max = model.sigma_min, model.sigma_max

    def __getattr__(self, name: str) -> Any:
        if name == "model":  # not yet set, while an object is copied
            raise AttributeError(name)
        return getattr(self.model, name)

    def __call__(self, x: Array, sigma: Array) -> Array:
        if self._alone or len(x) < 2 or not isinstance(x, np.ndarray):
            return self.model(x, sigma)
        count = min(len(x), 1 + self.workers.count)
        (own, *others) = zip(np.array_split(x, count), np.array_split(sigma, count), strict=True)
        found: np.ndarray | None = None
        for _ in range(LIVES):
            try:
                waits = [self.workers.send(*part) for part in others]
                found = self.model(*own) if found is None else found
                parts = [found, *(wait() for wait in waits)]
            except self.workers.died as error:
                tqdm.write(f"art-gym: a worker ended ({one_line(error, 80)}): another one takes its place")
                self.workers.begin()
            else:
                return check_finite(np.concatenate(parts), sigma, self.model)  # which names the model, not this class
        raise ValueError(
            f"workers ended {LIVES} times in a row: memory may be short, so try fewer --jobs, a smaller --max-batch or "
            f"--max-memory"
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Compute all in this process within this context, as for settings of the model that only this one has."""
        self._alone = True
        try:
            yield
        finally:
            self._alone = False


def alone(model: Denoiser) -> AbstractContextManager[None]:
    """A context within which no worker computes. It changes nothing for a model that is not shared."""
    return model.alone() if isinstance(model, Shared) else nullcontext()


@contextmanager
def shared(loads: Sequence[Load], backend: Backend = "loky", gpu: bool = False) -> Iterator[Denoiser]:
    """Make a model in several processes, this one among them, and share its calls. Workers end with the context.

    Args:
        loads: functions that make the model, one for each process. They differ in the device.
        backend: loky for processes of this machine, ray for a Ray cluster that runs.
        gpu: whether Ray must give each worker a GPU.

    Raises:
        ValueError: for a function that cannot be sent, a model that needs whole runs, Ray where it is not installed, or
            a worker whose model is not the one of this process.
    """
    if len(loads) == 1:
        yield loads[0]()
        return
    _check_sendable(loads)
    model = loads[0]()
    if getattr(model, "whole", False):
        raise ValueError("the model depends on the number of the step, so processes cannot share it: leave out --jobs")
    check_call_once(model)  # here, so that a worker is no part of its errors
    with TemporaryDirectory(prefix="art_gym_") as folder:
        order = Order(tuple(loads[1:]), look(model), None if backend == "ray" else Path(folder))
        workers: Workers = RayWorkers(order, gpu) if backend == "ray" else Processes(order)
        try:
            made = Shared(model, workers)
            made(*_first(model, len(loads)))  # workers load now, which no budget pays for
            yield made
        finally:
            workers.end()


def _first(model: Denoiser, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(B, *shape) zeros with (B,) levels."""
    return np.zeros((count, *model.shape), np.float32), np.full(count, model.data_std, np.float32)


def _check_sendable(loads: Sequence[Load]) -> None:
    try:
        dumps(loads)
    except Exception as error:  # an object's own code can raise anything
        raise ValueError(
            f"the model cannot be made in other processes ({type(error).__name__}: {one_line(error, 120)}): give a "
            f"function of a module that makes it, or leave out --jobs"
        ) from None
