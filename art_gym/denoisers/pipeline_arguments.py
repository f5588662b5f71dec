"""Arguments of a pipeline's call: which are ours, which belong to a condition, and their hashes.

This module does not import diffusers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

BATCHES = ("batch_size", "num_images_per_prompt", "num_videos_per_prompt", "num_waveforms_per_prompt")
EACH = ("prompt", "negative_prompt", "pooled_prompt", "negative_pooled_prompt", "class_labels")  # how their names begin
OURS = ("num_inference_steps", "timesteps", "sigmas", "latents", "output_type", "return_dict", *BATCHES)


def check_arguments(name: str, takes: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Raise a ValueError for an argument that a pipeline does not take, or that is ours to choose."""
    for given in arguments:
        if given in OURS:
            raise ValueError(f"leave out {given}: how many noises are sampled at which levels is ours to choose")
        if given not in takes:
            known = ", ".join(other for other in takes if other not in ("self", *OURS))
            raise ValueError(f"{name} takes no {given!r}: choose among {known}")


def split_conditions(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return what each condition has of its own as lists or tensors, what all share, and the number of conditions.

    Raises:
        ValueError: for lists of different lengths, or an empty one.
    """
    each = {name: value for name, value in arguments.items() if name.startswith(EACH) and value is not None}
    same = {name: value for name, value in arguments.items() if name not in each}
    several = {name: value for name, value in each.items() if isinstance(value, list | tuple | torch.Tensor)}
    counts = {name: len(value) for name, value in several.items()}
    count = max(counts.values(), default=1)
    if wrong := [name for name, found in counts.items() if found != count or not found]:
        shown = ", ".join(f"{name} {found}" for name, found in counts.items())
        raise ValueError(f"one condition needs one of each, but {wrong[0]} has another number than others ({shown})")
    return {name: value if name in several else [value] * count for name, value in each.items()}, same, count


def callbacks(arguments: dict[str, Any]) -> list[str]:
    """The names of arguments that are functions. What these do is not known."""
    return [name for name, value in arguments.items() if callable(value)]


def hashes(arguments: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and hashes of a pipeline's arguments, with the contents of images and tensors."""
    found = []
    for name, value in sorted(arguments.items()):
        content = value.detach().cpu().float().numpy() if isinstance(value, torch.Tensor) else value
        plain = isinstance(content, str | int | float | bool | list | tuple | dict | type(None))
        data = repr(content).encode() if plain else np.asarray(content).tobytes()
        found.append((name, hashlib.sha256(data).hexdigest()))
    return found
