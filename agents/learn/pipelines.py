"""Pipelines with arguments for the command line: folders, prompts and images as a call of the pipeline takes them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from art_gym.common.messages import one_line
from art_gym.common.reading import check_regular, read_text, read_yaml
from art_gym.denoisers.pipelines import PipelineDenoiser, from_pipeline
from art_gym.denoisers.torch_denoiser import usable_device

NETWORKS = ("unet", "transformer", "transformer_2", "controlnet")  # parts of a pipeline that each step calls


def read_prompts(file: Path) -> list[str]:
    """The prompts of a text file, one a line. Empty lines are left out.

    Raises:
        ValueError: if the file cannot be read or holds no prompt.
    """
    try:
        found = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot read the prompts of {file} ({error}): write a text file with a prompt a line"
        ) from None
    if not found:
        raise ValueError(f"{file} holds no prompt: write one a line")
    return found


def read_arguments(file: Path) -> dict[str, Any]:
    """The arguments of a YAML file. Values of names with "image" are files of images, seen from that file.

    Raises:
        ValueError: if the file cannot be read or is no mapping, or an image cannot be read.
    """
    from PIL import Image

    try:
        found = read_yaml(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {file} ({one_line(error)}): write lines such as guidance_rescale: 0.7") from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{file} must hold arguments of the pipeline, lines such as guidance_rescale: 0.7")
    for name, value in found.items():
        if "image" in name and isinstance(value, str):
            try:
                check_regular(file.parent / value)
                found[name] = Image.open(file.parent / value).convert("L" if name.startswith("mask") else "RGB")
            except OSError as error:
                raise ValueError(
                    f"cannot read the {name} {value} of {file} ({error}): name a PNG or JPEG file"
                ) from None
    return found


def load_pipeline(
    pipe: Any,
    folder: Path,
    arguments: Mapping[str, Any],
    device: str,
    rounding: bool,
    shape: object,
    compile: bool,
    **options: Any,
) -> PipelineDenoiser:
    """The denoiser of a pipeline that was loaded from a folder, with arguments of its call.

    Raises:
        ValueError: if the folder holds no pipeline, or an option or argument is wrong.
    """
    for flag, value in (("--rounding", rounding), ("--shape", shape)):
        if value:
            raise ValueError(f"leave out {flag}: a pipeline with arguments makes its own calls")
    if not callable(getattr(pipe, "to", None)) or not hasattr(pipe, "scheduler"):
        raise ValueError(
            f"{folder} holds a {type(pipe).__name__}, but arguments such as --prompts are a pipeline's: name the "
            f"folder with its model_index.json"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from model libraries
        pipe = pipe.to(usable_device(device))
        for network in [getattr(pipe, name, None) for name in NETWORKS] if compile else ():
            if network is not None:
                network.compile()
        return from_pipeline(pipe, **options, **arguments)
