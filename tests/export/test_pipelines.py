"""Whole diffusers pipelines with our schedule give the samples of our own solvers on their model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from art_gym import sample
from art_gym.denoisers import from_diffusers
from art_gym.denoisers.variance_preserving import vp_sigmas
from art_gym.export.diffusers import diffusers_arguments
from art_gym.schedules import Schedule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers

LEVELS = Schedule((14.0, 5.5, 2.0, 0.7, 0.2, 0.05, 0.0), "test")
SHAPE, TOKENS, WIDTH, POOLED, GUIDANCE = (4, 4, 4), 5, 8, 6, 3.0
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def guided(conditions: dict[str, torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A call of the model with classifier-free guidance, for (2, …) conditions, without and with."""

    def call(model: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        both = {name: value.repeat_interleave(len(x), dim=0) for name, value in conditions.items()}
        output = model(torch.cat([x, x]), timestep=torch.cat([timestep, timestep]), **both).sample
        without, with_prompt = output.chunk(2)
        return without + GUIDANCE * (with_prompt - without)

    return call


@pytest.mark.parametrize(
    ("kind", "solver"),
    [
        ("EulerDiscreteScheduler", "euler"),  # pipe(sigmas=…)
        ("DPMSolverMultistepScheduler", "dpmpp_2m"),  # pipe(timesteps=…)
        ("HeunDiscreteScheduler", "heun"),  # pipe(timesteps=…)
    ],
)
def test_stable_diffusion(stable_diffusion: Any, kind: str, solver: str) -> None:
    pipe = stable_diffusion
    pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config)
    free, given = torch.randn(2, 1, TOKENS, WIDTH)
    denoiser = from_diffusers(
        pipe.unet, pipe.scheduler, call=guided({"encoder_hidden_states": torch.cat([free, given])})
    )
    arguments, noise = diffusers_arguments(LEVELS, pipe.scheduler), torch.randn(3, *SHAPE)
    levels = np.array(LEVELS.sigmas)
    if "timesteps" in arguments:  # the levels of whole timesteps
        levels = np.append(vp_sigmas(pipe.scheduler)[arguments["timesteps"]], 0.0)
    # a variance-preserving scheduler takes noise of variance 1 at σ_max, which is our x / √(1 + σ²)
    scale = (1 + levels[0] ** -2) ** 0.5 if solver == "dpmpp_2m" else 1.0
    found = pipe(
        prompt_embeds=given.expand(3, -1, -1),
        negative_prompt_embeds=free.expand(3, -1, -1),
        latents=noise,
        guidance_scale=GUIDANCE,
        output_type="latent",
        **arguments,
    ).images
    expected = sample(denoiser, levels, noise.numpy() * scale, solver).samples
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kind", ["FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler"])
def test_stable_diffusion_3(stable_diffusion_3: Any, kind: str) -> None:
    """pipe(sigmas=…) takes no trailing 0. The scheduler shifts the values, and the result is our levels."""
    pipe, euler = stable_diffusion_3, diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    unipc = {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}
    pipe.scheduler = euler if kind.startswith("Flow") else diffusers.UniPCMultistepScheduler(**unipc)
    free, given = torch.randn(2, 1, TOKENS, WIDTH)
    pooled_free, pooled = torch.randn(2, 1, POOLED)
    conditions = {
        "encoder_hidden_states": torch.cat([free, given]),
        "pooled_projections": torch.cat([pooled_free, pooled]),
    }
    noise = torch.randn(3, *SHAPE)
    found = pipe(
        prompt_embeds=given.expand(3, -1, -1),
        negative_prompt_embeds=free.expand(3, -1, -1),
        pooled_prompt_embeds=pooled.expand(3, -1),
        negative_pooled_prompt_embeds=pooled_free.expand(3, -1),
        latents=noise,
        guidance_scale=GUIDANCE,
        output_type="latent",
        **diffusers_arguments(replace(LEVELS, flow=True), pipe.scheduler),
    ).images
    levels = np.array(LEVELS.sigmas)
    np.testing.assert_allclose(pipe.scheduler.sigmas.numpy(), levels / (1 + levels), rtol=1e-5)
    if pipe.scheduler is euler:  # we have no UniPC solver
        denoiser = from_diffusers(pipe.transformer, euler, call=guided(conditions))
        # z = (1 − s) x = x / (1 + σ), and a flow's scheduler takes noise of variance 1
        expected = sample(denoiser, levels, noise.numpy() * (1 + 1 / levels[0]), "euler").samples
        np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4, atol=2e-4)
