"""Runs on the device of a model: latents go there once, and only the last ones come back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from art_gym.denoisers.base import Array


def placed(x: Array, denoiser: object) -> Array:
    """Return (B, *shape) latents of numpy as a tensor where the denoiser computes.

    They stay as they are for a denoiser without a device, which computes with numpy, and so do tensors.
    """
    device = getattr(denoiser, "device", None)
    if device is None or not isinstance(x, np.ndarray):
        return x
    import torch

    return torch.from_numpy(np.require(x, requirements=["C", "W"])).to(device)


def on_host(x: Array) -> np.ndarray:
    """Return an array of numpy, copied from a device if need be."""
    found: np.ndarray = x if isinstance(x, np.ndarray) else x.detach().cpu().numpy()
    return found


def without_gradients(x: Array) -> AbstractContextManager[object]:
    """No graph is kept for tensors within this context."""
    if isinstance(x, np.ndarray):
        return nullcontext()
    import torch

    return torch.no_grad()


def run_there(run: Callable[[Array], Array], x: Array, denoiser: object) -> Array:
    """Return run(x) for latents of numpy or torch, computed where the denoiser computes, in the kind of x."""
    there = placed(x, denoiser)
    if there is x:
        return run(x)
    with without_gradients(there):
        return on_host(run(there))
