"""Small products of matrices on one thread, however many numpy's BLAS would take."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache

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
    return _blas().limit(limits=1)
