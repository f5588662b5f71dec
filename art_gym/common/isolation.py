"""Protect the global state of a process from code that runs inside `isolated`."""

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
    """Restore the global state of the process: random streams, torch's threads and dtype, warning filters.

    stable-baselines3 seeds every global generator, and some libraries add warning filters on import. Callers of our
    functions expect neither. It also works as a decorator.
    """
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 the global state is saved
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
    if state is None:  # imported inside the block: seed it at random, as every import does
        torch.seed()
        return
    generator, threads, dtype = state
    torch.set_rng_state(generator)
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
