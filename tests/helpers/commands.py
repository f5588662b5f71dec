"""`art-gym learn` on a tiny pipeline: its arguments, and what the user's pipeline then samples."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from helpers.pipelines import ARGUMENTS

STEPS = 3
FLAGS = ("negative_prompt", "guidance_scale", "height", "width", "num_frames", "class_labels")


def options(kind: str, folder: Path) -> list[str]:
    """The arguments of a kind on the command line, in flags where there are some and else in a YAML file."""
    said, others = ["--model", str(folder / "model")], {}
    for name, value in ARGUMENTS[kind].items():
        if name == "prompt":
            (folder / "prompts.txt").write_text("\n".join(value) + "\n\n")
            said += ["--prompts", str(folder / "prompts.txt")]
        elif name in FLAGS:
            values = value if isinstance(value, list) else [value]
            said += [f"--{name.replace('_', '-')}", *map(str, values)]
        elif isinstance(value, torch.Tensor):
            picture = (255 * value[0].numpy()).round().astype(np.uint8)
            picture = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
            Image.fromarray(picture).save(folder / f"{name}.png")
            others[name] = f"{name}.png"
        else:
            others[name] = value
    if others:
        (folder / "args.yaml").write_text(yaml.safe_dump(others))
        said += ["--pipeline-args", str(folder / "args.yaml")]
    return said


def sampled(
    kind: str, pipe: Any, index: list[int], noise: torch.Tensor, monkeypatch: pytest.MonkeyPatch, steps: int = STEPS
) -> Any:
    """What a user's pipeline gives for latents of variance 1, and for those that its scheduler does not scale."""
    arguments = dict(ARGUMENTS[kind])
    for name in ("prompt", "class_labels"):
        if name in arguments:
            arguments[name] = [arguments[name][i] for i in index]
    if "negative_prompt" in arguments:
        arguments["negative_prompt"] = [arguments["negative_prompt"]] * len(index)
    for name, picture in arguments.items():
        if isinstance(picture, torch.Tensor):  # as in its file
            arguments[name] = (255 * picture).round() / 255
    if "strength" in arguments:
        arguments["strength"] = 1.0
    if kind in ("ddpm", "ddim", "dit", "img2img", "flow_img2img"):  # these draw their own
        drawn = noise if kind.endswith("img2img") else noise * float(pipe.scheduler.init_noise_sigma)
        monkeypatch.setattr(sys.modules[type(pipe).__module__], "randn_tensor", lambda *_, **__: drawn)
    else:
        arguments["latents"] = noise
    if kind.startswith("dd"):
        arguments["batch_size"] = len(index)
    last: list[torch.Tensor] = []
    step: Callable[..., Any] = pipe.scheduler.step

    def noted(*given: Any, **others: Any) -> Any:
        found = step(*given, **others)
        last.append(found[0])
        return found

    monkeypatch.setattr(pipe.scheduler, "step", noted)
    pipe(**arguments, num_inference_steps=steps, generator=torch.Generator().manual_seed(0))
    return last[-1][: len(index)]
