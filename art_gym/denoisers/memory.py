"""How many bytes of tensors a torch function holds at once, on any device."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GIB = 1024**3


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the tensors that are made inside and still alive: now, and at most."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: dict[int, int] = {}  # by number of the storage; 0 for those from outside, such as weights
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for storage in _storages((args, kwargs)):
            self._note(storage, 0)
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):  # a view has that of what it is a view of
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
    """Most bytes of tensors that ``function(*arrays)`` holds at once: neither its weights nor what a kernel takes."""
    with _Peak() as peak:
        function(*arrays)
    most: int = peak.most
    return most


def rows_within(limit: float, most: int, function: Callable[..., torch.Tensor], *arrays: torch.Tensor) -> int:
    """So many rows at a time, and at most ``most``, that a function of batches stays within a limit in bytes.

    A part of what it holds grows with the rows and a part does not, so that twice the rows take at most twice as much:
    they are doubled for as long as that fits.

    Args:
        limit: bytes.
        most: rows; about twice as many are tried in all.
        function: of batches.
        arrays: its arguments, of which the first row is tried.

    Raises:
        ValueError: if one row takes more.
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
