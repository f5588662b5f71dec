"""Learn a schedule for a text-to-image pipeline with a fixed prompt and guidance, and sample with it.

python examples/text_to_image.py path/to/stable-diffusion "a lighthouse at dusk" runs on your own pipeline, saved by
diffusers with safetensors. Without arguments it runs on a tiny random network.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from art_gym import Schedule
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
from art_gym.denoisers import from_diffusers
from art_gym.export.diffusers import diffusers_arguments

with warnings.catch_warnings(action="ignore"):
    import diffusers

GUIDANCE = 7.5


def load(folder: str, prompt: str) -> tuple[Any, Any, torch.Tensor, torch.Tensor]:
    """The pipeline, a scheduler that takes sigmas, and (1, tokens, width) embeddings of the prompt and of no prompt."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    given, free = pipe.encode_prompt(prompt, pipe.device, 1, do_classifier_free_guidance=True)
    return pipe, pipe.scheduler, given, free


def stand_in() -> tuple[Any, Any, torch.Tensor, torch.Tensor]:
    """The same as `load`, with a tiny random network and random embeddings."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=4,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=6,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
    )
    return unet, diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear"), *torch.randn(2, 1, 5, 6)


with warnings.catch_warnings(action="ignore"), tempfile.TemporaryDirectory() as scratch:
    real = len(sys.argv) > 1
    model, scheduler, given, free = load(sys.argv[1], sys.argv[2]) if real else stand_in()

    def call(unet: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """(B, 4, h, w) noise, with classifier-free guidance in one batch, as in the pipeline."""
        both = torch.cat([free.expand(len(x), -1, -1), given.expand(len(x), -1, -1)]).to(x)
        noise = unet(torch.cat([x, x]), torch.cat([timestep, timestep]), encoder_hidden_states=both).sample
        without, with_prompt = noise.chunk(2)
        return without + GUIDANCE * (with_prompt - without)

    # Latents are scaled to data_std=1. For a GPU with half precision, add device="cuda", dtype=torch.float16.
    denoiser = from_diffusers(model, scheduler, call=call, data_std=1.0, max_batch=32)
    out = Path("schedule.json") if real else Path(scratch) / "schedule.json"
    budget = Budget.parse("30m" if real else "8s")
    # Euler in σ is DDIM. EulerDiscreteScheduler does the same.
    print(Learner(denoiser, "text to image", num_steps=6, solver="euler", budget=budget, out=out, progress=real).run())

    arguments = diffusers_arguments(Schedule.load(out), scheduler)
    scheduler.set_timesteps(**arguments)
    print("levels that the scheduler uses:", [round(level, 3) for level in scheduler.sigmas.tolist()])
    if real:  # pipelines take the same arguments
        model(sys.argv[2], guidance_scale=GUIDANCE, **arguments).images[0].save("image.png")
