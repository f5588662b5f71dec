"""Fixed arrays of a denoiser, converted to the library and precision of its input."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from art_gym.denoisers.base import Array


class Constants:
    """Named float64 arrays, converted once for each array library, precision and device."""

    def __init__(self, **arrays: np.ndarray) -> None:
        self._arrays = arrays
        self._converted: dict[Any, SimpleNamespace] = {}

    def like(self, x: Array, xp: Any) -> SimpleNamespace:
        """The arrays in the library ``xp`` with x's dtype and device."""
        key = (xp.__name__, x.dtype, x.device)
        if key not in self._converted:
            converted = {
                name: xp.asarray(np.ascontiguousarray(value), dtype=x.dtype, device=x.device)
                for name, value in self._arrays.items()
            }
            self._converted[key] = SimpleNamespace(**converted)
        return self._converted[key]

    def __getstate__(self) -> dict[str, Any]:
        # Converted copies may live on a device, so another process makes its own.
        return {"_arrays": self._arrays, "_converted": {}}
