"""Denoisers D(x, σ) = E[x₀ | x_σ = x]: the only model that the rest of the suite knows."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from art_gym.denoisers.base import Counted, Denoiser, FunctionDenoiser
from art_gym.denoisers.dataset import ExactDataset
from art_gym.denoisers.mixture import GaussianMixture

_WITH_TORCH = {  # resolved at first use
    "TorchDenoiser": "art_gym.denoisers.torch_denoiser",
    "from_callable": "art_gym.denoisers.torch_denoiser",
    "from_diffusers": "art_gym.denoisers.adapters",
    "from_edm": "art_gym.denoisers.adapters",
}

__all__ = ["Counted", "Denoiser", "ExactDataset", "FunctionDenoiser", "GaussianMixture", *_WITH_TORCH]


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(import_module(_WITH_TORCH[name]), name)
    raise AttributeError(f"module 'art_gym.denoisers' has no attribute {name!r}")
