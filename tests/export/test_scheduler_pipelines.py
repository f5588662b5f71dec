"""Whole diffusers pipelines with an `ARTScheduler` give the samples of our own loop on their network."""

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
from art_gym.denoisers.predictions import PREDICTIONS
from art_gym.samplers import Coefficients, Sampler, follow
from art_gym.schedules import Schedule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers

    from art_gym.export import ARTScheduler

LEVELS = (14.0, 5.5, 2.0, 0.7, 0.2, 0.05, 0.0)
WEIGHTS = ((), (0.3,), (0.4, -0.1), (0.5, -0.05), (0.2,), (0.1, 0.02))
SAMPLER = Sampler(LEVELS, (0.98, 1.02, 0.97, 1.0, 1.05, 1.1), WEIGHTS, "test")
FLOW = replace(SAMPLER, told=(13 / 14, *SAMPLER.told[1:]), flow=True)  # plain noise is x = 14 ε at τ = 13
K, TOKENS, WIDTH, POOLED, GUIDANCE = SAMPLER.num_steps, 5, 8, 6, 3.0
NOISE = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(2))
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def close(found: torch.Tensor, expected: Any, tolerance: float = 1e-5) -> None:
    """Compare with the largest value, because an untrained network makes some of 50."""
    expected = torch.as_tensor(expected)
    assert found.shape == expected.shape
    assert (found.float() - expected).abs().max() <= tolerance * expected.abs().max()


def prompts(count: int, pooled: str = "") -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Embeddings as a pipeline takes them, for each image, and as (2, …) conditions of the model, free and given."""
    torch.manual_seed(1)
    both, both_pooled = torch.randn(2, TOKENS, WIDTH), torch.randn(2, POOLED)
    conditions = {"encoder_hidden_states": both} | ({pooled: both_pooled} if pooled else {})
    embeds = {"negative_prompt_embeds": both[:1], "prompt_embeds": both[1:]}
    if pooled:
        embeds |= {"negative_pooled_prompt_embeds": both_pooled[:1], "pooled_prompt_embeds": both_pooled[1:]}
    return {name: value.repeat(count, *[1] * (value.ndim - 1)) for name, value in embeds.items()}, conditions


def guided(conditions: dict[str, torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A call of the model with classifier-free guidance."""

    def call(model: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        both = {name: value.repeat_interleave(len(x), dim=0) for name, value in conditions.items()}
        added = {name: both.pop(name) for name in ("text_embeds", "time_ids") if name in both}
        both |= {"added_cond_kwargs": added} if added else {}
        without, given = model(torch.cat([x, x]), timestep=torch.cat([timestep, timestep]), **both).sample.chunk(2)
        return without + GUIDANCE * (given - without)

    return call


def run(pipe: Any, **options: Any) -> torch.Tensor:
    return pipe(**{"num_inference_steps": K, "guidance_scale": GUIDANCE, "output_type": "latent"} | options).images


def tail(start: int) -> Coefficients:
    """The sampler from a step on."""
    sigmas, told, weights = SAMPLER.coefficients()
    return Coefficients(sigmas[start:], told[start:], weights[start:])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample", "continuous", "edm"])
def test_an_unconditional_pipeline(prediction: str, tiny_model: Any) -> None:
    """DDPMPipeline scales neither its first noise nor what the network gets."""
    known = prediction if prediction in PREDICTIONS else "epsilon"
    source = diffusers.DDPMScheduler(clip_sample=False, prediction_type=known)
    if prediction == "continuous":  # a network of all levels
        ends = {"timestep_type": prediction, "sigma_min": 0.002, "sigma_max": 700.0}
        source = diffusers.EulerDiscreteScheduler(prediction_type="v_prediction", **ends)
    if prediction == "edm":
        source = diffusers.EDMDPMSolverMultistepScheduler()
    pipe = diffusers.DDPMPipeline(tiny_model(), ARTScheduler.from_sampler(SAMPLER, source))
    pipe.set_progress_bar_config(disable=True)
    found = pipe(2, torch.Generator().manual_seed(3), num_inference_steps=K, output_type="pt").images
    noise = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(3))
    data = 0.5 if prediction == "edm" else 1.0
    first = (data**2 + (SAMPLER.told[0] * LEVELS[0]) ** 2) ** 0.5 * noise
    expected = follow(from_diffusers(pipe.unet, source), SAMPLER.coefficients(), first)
    close(found, (expected / 2 + 0.5).clamp(0, 1))


def test_stable_diffusion(stable_diffusion: Any) -> None:
    pipe, source, (embeds, conditions) = stable_diffusion, stable_diffusion.scheduler, prompts(3)
    denoiser = from_diffusers(pipe.unet, source, call=guided(conditions))
    pipe.scheduler = ARTScheduler.from_sampler(SAMPLER, source)
    close(run(pipe, latents=NOISE, **embeds), sample(denoiser, SAMPLER, NOISE.numpy()).samples)
    for solver in ("euler", "dpmpp_2m"):  # a schedule, also with another K than its own
        pipe.scheduler = ARTScheduler.from_sampler(Schedule(LEVELS, "test"), source, solver=solver)
        for steps in (K, 9):
            levels = Schedule(LEVELS, "test").resample(steps)
            found = run(pipe, latents=NOISE, num_inference_steps=steps, **embeds)
            close(found, sample(denoiser, levels, NOISE.numpy(), solver).samples)


def test_stable_diffusion_xl(stable_diffusion_xl: Any) -> None:
    pipe, source, (embeds, conditions) = stable_diffusion_xl, stable_diffusion_xl.scheduler, prompts(3, "text_embeds")
    conditions["time_ids"] = torch.tensor([[8.0, 8.0, 0.0, 0.0, 8.0, 8.0]] * 2)
    denoiser = from_diffusers(pipe.unet, source, call=guided(conditions))
    pipe.scheduler = ARTScheduler.from_sampler(SAMPLER, source)
    close(run(pipe, latents=NOISE, **embeds), sample(denoiser, SAMPLER, NOISE.numpy()).samples)


@pytest.mark.parametrize("options", [{}, {"shift": 3.0, "use_dynamic_shifting": True}])
def test_stable_diffusion_3(stable_diffusion_3: Any, options: dict[str, Any]) -> None:
    pipe, (embeds, conditions) = stable_diffusion_3, prompts(3, "pooled_projections")
    source = diffusers.FlowMatchEulerDiscreteScheduler(**options)
    denoiser = from_diffusers(pipe.transformer, source, call=guided(conditions))
    pipe.scheduler = ARTScheduler.from_sampler(FLOW, source)
    expected = sample(denoiser, FLOW, NOISE.numpy()).samples
    close(run(pipe, latents=NOISE, **embeds), expected)
    told = replace(FLOW, told=(0.8, *FLOW.told[1:]))  # of the first step, which its pipeline cannot keep
    pipe.scheduler = ARTScheduler.from_sampler(told, source)
    close(run(pipe, latents=NOISE, **embeds), expected)
    np.testing.assert_allclose(pipe.scheduler.coefficients.told, FLOW.told)


def test_flux(flux: Any) -> None:
    """It passes sigmas of its own and a shift, and its network is told timestep / 1000 and the guidance."""
    pipe, source, (embeds, conditions) = flux, flux.scheduler, prompts(2, "pooled_projections")
    ids = {"txt_ids": torch.zeros(TOKENS, 3), "img_ids": pipe._prepare_latent_image_ids(1, 2, 2, "cpu", torch.float32)}

    def call(model: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        given = {name: value[1:].repeat_interleave(len(x), dim=0) for name, value in conditions.items()}
        return model(x, timestep=timestep / 1000, guidance=torch.full((len(x),), GUIDANCE), **given, **ids).sample

    denoiser, noise = from_diffusers(pipe.transformer, source, call=call, shape=(4, 16)), torch.randn(2, 4, 16)
    pipe.scheduler = ARTScheduler.from_sampler(FLOW, source)
    given = {name: value for name, value in embeds.items() if not name.startswith("negative")}
    found = run(pipe, latents=noise, height=8, width=8, **given)
    close(found, sample(denoiser, FLOW, noise.numpy()).samples)
    with pytest.raises(ValueError, match=r"of K = 6 steps cannot make 28: pass num_inference_steps=6") as refused:
        run(pipe, latents=noise, height=8, width=8, num_inference_steps=28, **given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_3"])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_image_to_image(kind: str, strength: float, request: pytest.FixtureRequest) -> None:
    """Sampling begins in the middle, where there are no earlier estimates for the weights."""
    pipe, flow = request.getfixturevalue(kind), kind.endswith("3")
    embeds, conditions = prompts(3, "pooled_projections" if flow else "")
    denoiser = from_diffusers(pipe, call=guided(conditions))
    pipe.scheduler = ARTScheduler.from_sampler(FLOW if flow else SAMPLER, pipe.scheduler)
    image = torch.randn(3, 4, 4, 4)  # latents
    to_image = diffusers.AutoPipelineForImage2Image.from_pipe(pipe)
    to_image.set_progress_bar_config(disable=True)
    for _ in range(2):  # the second time there are earlier estimates, but not of these samples
        generator = torch.Generator().manual_seed(2)
        found = run(to_image, image=image, strength=strength, generator=generator, **embeds)
    start = round(K * (1 - strength))
    coefficients = tail(start) if start else to_image.scheduler.coefficients
    close(found, follow(denoiser, coefficients, image + LEVELS[start] * NOISE))


def test_inpainting(stable_diffusion: Any) -> None:
    """What is kept has the level and the scaling of the next step, and the image's latents at the end."""
    pipe, (embeds, _) = stable_diffusion, prompts(3)
    pipe.scheduler = ARTScheduler.from_sampler(SAMPLER, pipe.scheduler)
    paint = diffusers.AutoPipelineForInpainting.from_pipe(pipe)
    paint.set_progress_bar_config(disable=True)
    image, mask, seen = torch.randn(3, 4, 4, 4), torch.zeros(1, 1, 8, 8), []
    mask[..., 4:] = 1.0  # the right half is painted

    def look(pipe: Any, step: int, timestep: torch.Tensor, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append(tensors["latents"][..., :2])
        return tensors

    found = run(
        paint,
        image=image,
        mask_image=mask,
        masked_image_latents=image,
        height=8,
        width=8,
        strength=0.5,
        generator=torch.Generator().manual_seed(2),
        callback_on_step_end=look,
        **embeds,
    )
    for k, kept in zip((4, 5), seen, strict=False):
        scale = (1 + (SAMPLER.told[k] * LEVELS[k]) ** 2) ** 0.5
        close(kept, ((image + LEVELS[k] * NOISE) / scale)[..., :2])
    close(found[..., :2], image[..., :2], 0.0)
    assert (found - image)[..., 2:].abs().min() > 0


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_3"])
def test_the_same_seed_gives_the_same_image_in_any_batch(kind: str, request: pytest.FixtureRequest) -> None:
    pipe, flow = request.getfixturevalue(kind), kind.endswith("3")
    pipe.scheduler = ARTScheduler.from_sampler(FLOW if flow else SAMPLER, pipe.scheduler)

    def images(*seeds: int) -> torch.Tensor:
        generator = [torch.Generator().manual_seed(seed) for seed in seeds]
        embeds, _ = prompts(len(seeds), "pooled_projections") if flow else prompts(1)
        count = 1 if flow else len(seeds)  # SD3 does not repeat embeddings
        return run(pipe, num_images_per_prompt=count, generator=generator, height=8, width=8, **embeds)

    together = images(5, 6, 5)
    assert torch.equal(together[0], together[2])
    close(torch.cat([images(5), images(6)]), together[:2])
    assert torch.equal(images(5), images(5))
    assert (together[0] - together[1]).abs().max() > 0.1


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_3", "flux"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 5e-2)])
def test_half_precision(kind: str, dtype: torch.dtype, tolerance: float, request: pytest.FixtureRequest) -> None:
    pipe, flow = request.getfixturevalue(kind), kind != "stable_diffusion"
    pipe.scheduler = ARTScheduler.from_sampler(FLOW if flow else SAMPLER, pipe.scheduler)
    tensors, _ = prompts(3, "pooled_projections" if flow else "")
    tensors["latents"] = NOISE
    if kind == "flux":
        tensors = {name: value for name, value in tensors.items() if not name.startswith("negative")}
        tensors["latents"] = NOISE.reshape(3, 4, 16)
    precise = run(pipe, height=8, width=8, **tensors)
    half = run(pipe.to(dtype), height=8, width=8, **{name: value.to(dtype) for name, value in tensors.items()})
    assert half.dtype == dtype
    close(half, precise, tolerance)
