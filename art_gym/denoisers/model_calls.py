"""Code that network adapters share: calls in the network's own precision, noise ranges, conditions, fingerprints."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch

from art_gym.denoisers.base import RANGE_TOLERANCE
from art_gym.denoisers.torch_denoiser import Function, TorchDenoiser, first_line, of_shape


def network_call(run: Function, name: str, dtype: torch.dtype) -> Function:
    """Wrap a network to run in ``dtype`` with float32 input and output. Errors and wrong shapes become ValueErrors."""

    def network(x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        try:
            output = run(x.to(dtype), noise)
        except torch.cuda.OutOfMemoryError:  # TorchDenoiser tries a smaller batch
            raise
        except Exception as error:  # the model's or the caller's code can raise anything
            check_compiled(error, name)
            raise ValueError(
                f"{name} cannot be run on latents of shape {tuple(x.shape)} ({first_line(error)}): a pipeline with "
                f"conditions needs --prompts, --class-labels or --pipeline-args (from_pipeline in Python), a model "
                f"alone call= in Python; else check shape= (--shape), dtype and max_batch"
            ) from error
        return of_shape(x, output).float()

    return network


def check_compiled(error: Exception, name: str) -> None:
    """Raise a ValueError if an error of a network's call is torch's when it compiles."""
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        raise ValueError(
            f"torch cannot compile {name} here ({first_line(error)}): leave out compile=True (--compile), or install "
            f"the compiler that torch asks for"
        ) from error


def tried(denoiser: TorchDenoiser) -> TorchDenoiser:
    """Return a denoiser after one test call, so that an unusable model is refused at once."""
    middle = (denoiser.sigma_min * denoiser.sigma_max) ** 0.5
    denoiser(np.zeros((1, *denoiser.shape), np.float32), np.full(1, middle, np.float32))
    return denoiser


def noise_range(sigma_min: float | None, sigma_max: float | None, low: float, high: float) -> tuple[float, float]:
    """Return a noise range, by default from low to high. Raises a ValueError if it goes beyond them."""
    for name, value in (("sigma_min", sigma_min), ("sigma_max", sigma_max)):
        if value is not None and not low * (1 - RANGE_TOLERANCE) <= value <= high * (1 + RANGE_TOLERANCE):
            raise ValueError(f"{name}={value:g} is outside the range that the model knows, {low:.6g} to {high:.6g}")
    return low if sigma_min is None else float(sigma_min), high if sigma_max is None else float(sigma_max)


def chosen(carried: torch.Tensor, sigma_max: float, count: int) -> torch.Tensor:
    """Return the (B,) choices among ``count`` conditions that (B, …) carried elements make, all equally likely.

    The elements are σ_max times standard normal noise.
    """
    flat = carried.flatten(1)
    normal = flat.sum(dim=1) / (sigma_max * flat.shape[1] ** 0.5)
    return torch.floor(torch.special.ndtr(normal) * count).long().clamp(0, count - 1)


def hashed(options: dict[str, Any]) -> tuple[Any, ...]:
    """Return the options of `TorchDenoiser` that change precise endpoints."""
    return options.get("data_std"), options.get("autocast", False)


def fingerprint_of(facts: tuple[object, ...], tensors: dict[str, torch.Tensor]) -> str:
    """Return a hash of all that D depends on: settings by their repr, and weights."""
    digest = hashlib.sha256(repr(facts).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
