"""The nodes ART Sampler and ART Schedule."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import comfy.samplers
import folder_paths
import torch

from .files import Numbers, read
from .sampling import Scale, sampler_function

FOLDER = "art_gym"  # below ComfyUI's models, and the name for extra_model_paths.yaml


def _add_folder() -> None:
    """Tell ComfyUI where the files lie. Folders of extra_model_paths.yaml are there already."""
    own = os.path.join(folder_paths.models_dir, FOLDER)
    with suppress(OSError):  # a folder of models may be read-only
        os.makedirs(own, exist_ok=True)
    folder_paths.add_model_folder_path(FOLDER, own)
    paths, _ = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, {".json"})


_add_folder()


class _FromFile:
    """What both nodes share: a file of models/art_gym, and levels in the scale of the model."""

    CATEGORY = "sampling/art_gym"
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        about_denoise = "How much of the steps is taken. The last ones are, for image to image."
        about_model = "Tells whether the levels are σ or a flow model's s. Without it the file's flow does."
        return {
            "required": {
                "file": (folder_paths.get_filename_list(FOLDER), {"tooltip": f"A file in models/{FOLDER}."}),
                "denoise": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": about_denoise}),
            },
            "optional": {"model": ("MODEL", {"tooltip": about_model})},
        }

    @classmethod
    def IS_CHANGED(cls, file: str, **_: Any) -> str:
        return hashlib.sha256(Path(_path(file)).read_bytes()).hexdigest()


class ARTSampler(_FromFile):
    """A sampler file as ComfyUI's SAMPLER, with its SIGMAS."""

    DESCRIPTION = "Samples with a sampler of art_gym. Connect both outputs to SamplerCustom or SamplerCustomAdvanced."
    RETURN_TYPES = ("SAMPLER", "SIGMAS")
    RETURN_NAMES = ("sampler", "sigmas")

    def load(self, file: str, denoise: float = 1.0, model: Any = None) -> tuple[Any, torch.Tensor]:
        numbers = read(_path(file), "sampler")
        return comfy.samplers.KSAMPLER(sampler_function(numbers)), _sigmas(numbers, denoise, model)


class ARTSchedule(_FromFile):
    """A schedule file as ComfyUI's SIGMAS, for samplers of ComfyUI."""

    DESCRIPTION = "The levels of a schedule of art_gym. Choose the solver that it was found for as the sampler."
    RETURN_TYPES = ("SIGMAS",)
    RETURN_NAMES = ("sigmas",)

    def load(self, file: str, denoise: float = 1.0, model: Any = None) -> tuple[torch.Tensor]:
        return (_sigmas(read(_path(file), "schedule"), denoise, model),)


def _path(file: str) -> str:
    path: str | None = folder_paths.get_full_path(FOLDER, file)
    if path is None:
        raise ValueError(f"there is no file {file} in the folder models/{FOLDER}: copy it there")
    return path


def _sigmas(numbers: Numbers, denoise: float, model: Any) -> torch.Tensor:
    """The last steps of a file, as many as denoise asks for, in the scale of the model or else of the file."""
    scale = Scale(numbers.flow) if model is None else Scale.of(model.get_model_object("model_sampling"))
    sigmas = scale.sigmas(numbers.sigmas)
    if denoise <= 0:
        return sigmas[:0]  # as of ComfyUI's schedulers: the latents stay as they are
    steps = len(sigmas) - 1
    return sigmas[-1 - max(1, round(denoise * steps)) :]
