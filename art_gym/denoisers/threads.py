"""Use one thread for small matrix products, and for torch in a forked process."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from functools import cache, lru_cache

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")  # 5 ms, to look through all loaded libraries


def one_thread() -> AbstractContextManager[object]:
    """Limit numpy to one thread inside the block, which costs 20 µs.

    OpenBLAS splits even products of 0.2 ms over threads. On two cores that gains nothing. If several processes do it
    (seeds side by side, `AsyncVectorEnv`), their threads wait for each other and run three to five times slower. With
    one thread, sums also do not depend on OMP_NUM_THREADS.
    """
    limit: AbstractContextManager[object] = _blas().limit(limits=1)
    return limit


@cache
def survive_forks() -> None:
    """Let torch compute, on one thread, in processes that this one forks from now on.

    A fork copies only the calling thread. OpenMP would wait forever for the other threads of the parent's networks.
    The code that makes a network calls this, so users without networks are not affected.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
        os.register_at_fork(after_in_child=lambda: sys.modules["torch"].set_num_threads(1))
