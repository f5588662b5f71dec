"""Measure how many bytes of tensors a torch function holds at once, on any device."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GIB = 1024**3


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of live tensors that were made inside the block, now and at most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: dict[int, int] = {}  # bytes by storage; 0 for storages from outside, such as weights
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for storage in _storages((args, kwargs)):
            self._note(storage, 0)
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):  # a view shares the storage of its base
            self._note(storage, storage.nbytes())
        return result

    def _note(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = size
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.now -= self.alive.pop(key)


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def peak_bytes(function: Callable[..., torch.Tensor], *arrays: torch.Tensor) -> int:
    """Return the most bytes of tensors that ``function(*arrays)`` holds at once, without weights and kernel memory."""
    with _uncompiled(), _Peak() as peak:
        function(*arrays)
    most: int = peak.most
    return most


def _uncompiled() -> AbstractContextManager[object]:
    """Compiled networks run as they are written, because a compiled one hides its tensors."""
    stance = getattr(torch.compiler, "set_stance", None)  # from torch 2.6 on
    return nullcontext() if stance is None else stance("force_eager")


def rows_within(limit: float, most: int, function: Callable[..., torch.Tensor], *arrays: torch.Tensor) -> int:
    """Return how many rows, at most ``most``, a function of batches can take at a time within a memory limit.

    Only a part of the memory grows with the rows, so twice the rows take at most twice the memory. The rows are doubled
    while that fits.

    Args:
        limit: limit in bytes.
        most: maximum number of rows. About twice as many are tried in all.
        function: function of batches.
        arrays: its arguments. Copies of their first row are tried.

    Raises:
        ValueError: if one row takes more than the limit.
    """

    def bytes_of(count: int) -> int:
        return peak_bytes(function, *(array[:1].repeat_interleave(count, 0) for array in arrays))

    rows, taken = 1, bytes_of(1)
    if taken > limit:
        raise ValueError(
            f"one latent of shape {tuple(arrays[0].shape[1:])} takes {taken / GIB:.3g} GiB of tensors, more than "
            f"max_memory = {limit / GIB:.3g} GiB: give more, or a smaller dtype"
        )
    while rows < most and 2 * taken <= limit:
        rows = min(2 * rows, most)
        taken = bytes_of(rows)
    return min(most, int(rows * limit / taken)) if taken else most
