"""Loads from diffusers folders for the command line, and silences the warnings of model libraries."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from art_gym.denoisers.base import Denoiser


def load_model(path: Path, dtype: str, arguments: Mapping[str, Any] | None = None, **options: Any) -> Denoiser:
    """The denoiser of a local diffusers folder, with options of `from_diffusers`.

    With arguments of a pipeline's call the pipeline makes every call (`from_pipeline`).

    Raises:
        ValueError: if the model or an option is wrong. The message says what.
    """
    import torch

    from art_gym.denoisers.diffusers_folders import load_folder
    from art_gym.denoisers.diffusers_folders import load_scheduler as of_folder
    from art_gym.denoisers.diffusers_models import from_diffusers

    if path.suffix in (".pkl", ".pt", ".pth", ".ckpt", ".bin"):
        raise ValueError(
            f"{path} is a pickle, which can run any code when it is loaded: save the model as a diffusers folder with "
            f"safetensors, or load it in Python with art_gym.denoisers.from_edm(path, trust_pickle=True)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from model libraries, on import and on loading
        if arguments:
            from .pipelines import load_pipeline

            trusted = options.pop("trust_remote_code")
            pipe = load_folder(path, options.pop("variant"), getattr(torch, dtype), trusted)
            if (scheduler := options.pop("scheduler")) is not None:
                pipe.scheduler = of_folder(scheduler)
            return load_pipeline(pipe, path, arguments, **options)
        return from_diffusers(path, dtype=getattr(torch, dtype), **options)


def load_scheduler(folder: Path) -> Any:
    """The scheduler in its own local folder or a pipeline's. Raises a ValueError if there is none."""
    from art_gym.denoisers import diffusers_folders as adapters

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # likewise
        return adapters.load_scheduler(folder)
