"""art_gym: learn how a diffusion model should spend its sampling steps.

``import art_gym`` registers the environments and loads nothing heavy; public names are resolved at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gymnasium.envs.registration import register

__version__ = "0.1.0"

_IDS = {
    "ARTDiffusion-v0": "digits",
    "ARTDiffusion-Digits-v0": "digits",
    "ARTDiffusion-Gaussian1D-v0": "gaussian_1d",
    "ARTDiffusion-Mixture1D-v0": "mixture_1d",
    "ARTDiffusion-Mixture1D-PerSample-v0": "mixture_1d_per_sample",
    "ARTDiffusion-Ring2D-v0": "ring_2d",
    "ARTDiffusion-Ring2D-PerSample-v0": "ring_2d_per_sample",
    "ARTDiffusion-Checkerboard2D-v0": "checkerboard_2d",
    "ARTDiffusion-DigitsNet-v0": "digits_net",
    "ARTDiffusion-DigitsClass-v0": "digits_class",
    "ARTDiffusion-DigitsInpaint-v0": "digits_inpaint",
    "ARTDiffusion-PhotosNet-v0": "photos_net",
}

_PUBLIC = {
    "AdaptivePolicy": "art_gym.adaptive",
    "Denoiser": "art_gym.denoisers",
    "FunctionDenoiser": "art_gym.denoisers",
    "Schedule": "art_gym.schedules",
    "load_config": "art_gym.config",
    "make_grid": "art_gym.schedules",
    "register_task": "art_gym.tasks",
    "sample": "art_gym.adaptive",
    "task_names": "art_gym.tasks",
}

__all__ = ["__version__", *_PUBLIC]

for _id, _config in _IDS.items():
    register(
        id=_id,
        entry_point="art_gym.env:ARTDiffusionEnv",
        vector_entry_point="art_gym.vector_env:ARTDiffusionVectorEnv",
        kwargs={"config": _config},
    )


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'art_gym' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
