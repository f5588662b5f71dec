"""What a process shares: code that runs inside `isolated` leaves no trace in it."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def isolated() -> Iterator[None]:
    """Give back the process's global state as it was: random streams, torch's threads and dtype, warning filters.

    stable-baselines3 seeds every global generator, and some libraries add warning filters when they are imported. Who
    calls a function of ours expects neither. It also decorates functions.
    """
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 the global one is what is kept
    before = _torch_state()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)  # noqa: NPY002
        _restore_torch(before)


def _torch_state() -> tuple[Any, int, Any] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()


def _restore_torch(state: tuple[Any, int, Any] | None) -> None:
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if state is None:  # imported inside: its generator begins at random, as it does on every import
        torch.seed()
        return
    generator, threads, dtype = state
    torch.set_rng_state(generator)
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
