"""Small diffusers models, and the loop of their schedulers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers

SIZE = (2, 8, 8)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32 over a run


def start(sigma: float) -> torch.Tensor:
    return sigma * torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(1))


def run(scheduler: Any, model: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else x
            x = scheduler.step(model(scaled, timestep.expand(len(x))).sample, timestep, x).prev_sample
    return x


def conditional_model() -> Any:
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=2,
        out_channels=2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=6,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).eval()


def called(pipe: Any, scheduler: Any, **arguments: Any) -> tuple[np.ndarray, torch.Tensor]:
    """The timesteps that the network is called at in a run without guidance, and the last latents."""
    network = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    seen: list[float] = []

    def note(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(float(torch.as_tensor(named["timestep"] if "timestep" in named else given[1]).reshape(-1)[0]))

    hook = network.register_forward_pre_hook(note, with_kwargs=True)
    pipe.scheduler = scheduler
    generator = torch.Generator().manual_seed(0)
    arguments = {"prompt": "red", "guidance_scale": 0.0, "output_type": "latent", "generator": generator} | arguments
    found = pipe(**arguments).images
    hook.remove()
    return np.array(seen), found
