"""Threads: small products of matrices take one, and so does torch in a forked process."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from functools import cache, lru_cache

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")  # 5 ms: it looks through all libraries that are loaded


def one_thread() -> AbstractContextManager[object]:
    """Within it numpy computes on one thread, which costs 20 µs.

    OpenBLAS shares out products that take 0.2 ms. On two cores nothing is gained by it, and where several processes do
    so (seeds side by side, `AsyncVectorEnv`) their threads wait for each other: three to five times slower. And sums
    come out the same whatever OMP_NUM_THREADS is.
    """
    limit: AbstractContextManager[object] = _blas().limit(limits=1)
    return limit


@cache
def survive_forks() -> None:
    """Let torch compute in processes that are forked from this one from now on, on one thread.

    Fork copies the thread that calls it and no other. OpenMP would wait for ever for those that the parent's networks
    ran on. Called where a network is made, so that who runs none is not affected.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
        os.register_at_fork(after_in_child=lambda: sys.modules["torch"].set_num_threads(1))
