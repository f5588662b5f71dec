"""A pipeline's own loop as a denoiser: it agrees with the network called by hand, and with whole runs of the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.denoisers import from_diffusers, from_pipeline
from art_gym.denoisers.base import visible
from art_gym.denoisers.pipelines import PipelineDenoiser
from art_gym.export import ARTScheduler
from art_gym.samplers import Sampler, follow
from helpers.pipelines import ARGUMENTS, KINDS, PROMPTS, diffusers, tiny

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def close(found: Any, expected: Any) -> None:
    """Compare with the largest value, because an untrained network makes some of 50."""
    found, expected = torch.as_tensor(found), torch.as_tensor(expected)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def noises(denoiser: Any, index: list[int]) -> np.ndarray:
    noise = np.random.default_rng(3).standard_normal((len(index), *denoiser.shape)).astype(np.float32)
    return denoiser.choose(noise, np.array(index))


def pipeline_denoiser(kind: str, **arguments: Any) -> tuple[Any, PipelineDenoiser]:
    pipe = tiny(kind)
    return pipe, from_pipeline(pipe, **{**ARGUMENTS[kind], **arguments})


@pytest.mark.parametrize("kind", ["ddpm", "ddim"])
def test_without_conditions_it_is_the_network(kind: str) -> None:
    pipe, denoiser = pipeline_denoiser(kind)
    direct = from_diffusers(pipe)
    assert (denoiser.shape, denoiser.sigma_min, denoiser.sigma_max) == ((2, 4, 4), direct.sigma_min, direct.sigma_max)
    assert denoiser.data_std == direct.data_std
    x, sigma = noises(denoiser, [0] * 4), np.array([0.1, 2.0, 2.0, 100.0], np.float32)
    close(denoiser(x, sigma), direct(x, sigma))


@pytest.mark.parametrize("kind", ["dit", "sd1", "sd3"])
def test_guidance_is_that_of_a_call_by_hand(kind: str) -> None:
    """Each latent has its own prompt and its own level."""
    pipe, denoiser = pipeline_denoiser(kind)
    scale, index = ARGUMENTS[kind]["guidance_scale"], [0, 1, 0, 1]

    def call(network: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        options: dict[str, Any] = {}
        rows = index[: len(x)]  # it is tried on one
        if kind == "dit":
            labels = torch.tensor([ARGUMENTS[kind]["class_labels"][i] for i in rows] + [1000] * len(rows))
            options["class_labels"] = labels
        else:
            words = [PROMPTS[i] for i in rows]
            negative = [ARGUMENTS[kind].get("negative_prompt", "")] * len(rows)
            if kind == "sd1":
                given, free = pipe.encode_prompt(words, "cpu", 1, True, negative)
            else:
                given, free, *pooled = pipe.encode_prompt(words, None, None)
                options["pooled_projections"] = torch.cat(pooled)
            options["encoder_hidden_states"] = torch.cat([given, free])
        both = network(torch.cat([x, x]), timestep=torch.cat([timestep, timestep]), **options).sample[:, :4]
        with_prompt, without = both.chunk(2)
        return without + scale * (with_prompt - without)

    direct = from_diffusers(pipe, call=call, sigma_min=denoiser.sigma_min)
    x, sigma = noises(denoiser, index), np.array([0.1, 2.0, 2.0, 10.0], np.float32)
    direct_found = direct.function(torch.from_numpy(x[:, :4]), torch.from_numpy(sigma))
    found = denoiser(x, sigma)
    close(found[:, :4], direct_found.detach())
    np.testing.assert_array_equal(found[:, 4:], x[:, 4:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_run_of_the_pipeline_is_our_loop(kind: str) -> None:
    """Single calls of D, put together, are what the pipeline does with an `ARTScheduler`."""
    pipe, denoiser = pipeline_denoiser(kind)
    levels = np.append(np.geomspace(denoiser.sigma_max, 0.3, 5), 0.0)
    scheduler = ARTScheduler.from_sampler(replace(Sampler.of(levels, "dpmpp_2m"), flow=denoiser.flow), pipe.scheduler)
    scheduler.set_timesteps(5)
    assert denoiser.loop.takes_latents != (kind in ("ddpm", "ddim", "dit", "img2img", "flow_img2img"))
    index = [0, 1, 1] if denoiser.carried_channels else [0, 0]
    noise = torch.from_numpy(visible(noises(denoiser, index), denoiser))
    first, last = denoiser.loop.whole(scheduler, index, noise)
    own = first * (levels[0] / float(scheduler.init_noise_sigma)) - denoiser.image
    start = np.concatenate([own, own[:, :1]], axis=1) if denoiser.carried_channels else own.numpy()
    samples = follow(denoiser, scheduler.coefficients, denoiser.choose(start, np.array(index)))
    close(visible(samples, denoiser) + np.asarray(denoiser.image), last)


@pytest.mark.parametrize("kind", KINDS)
def test_the_pipeline_decodes(kind: str) -> None:
    """Images, video or sound of what the loop ends with."""
    _, denoiser = pipeline_denoiser(kind)
    clean = visible(noises(denoiser, [0, 0]), denoiser)
    found = denoiser.decode(clean)
    assert len(found) == 2
    assert np.isfinite(found).all()
    assert np.abs(denoiser.decode(clean + 0.5) - found).max() > 1e-3 * np.abs(found).max()
    if kind == "sd1":
        vae = denoiser.loop.pipe.vae
        with torch.no_grad():  # this pipeline does not use the VAE's shift
            images = vae.decode(torch.from_numpy(clean) / vae.config.scaling_factor).sample
        close(found, (images / 2 + 0.5).clamp(0, 1))


def test_the_pipeline_stays_as_it_was() -> None:
    pipe = tiny("sd1")
    scheduler, bars = pipe.scheduler, dict(pipe._progress_bar_config)
    denoiser = from_pipeline(pipe, **ARGUMENTS["sd1"])
    with pytest.raises(ValueError, match="fails in its own loop"):
        denoiser.loop(torch.zeros(1, 3, 4, 4), torch.ones(1), torch.zeros(1, dtype=torch.long))
    assert pipe.scheduler is scheduler
    assert pipe._progress_bar_config == bars
    assert "encode_prompt" not in vars(pipe)


def test_the_same_prompts_are_encoded_once() -> None:
    _, denoiser = pipeline_denoiser("sd1")
    calls = []
    denoiser.loop.pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    x = noises(denoiser, [0, 1, 1])
    for sigma in (1.0, 2.0, 3.0):
        denoiser(x[::-1], np.full(3, sigma, np.float32))
    assert len(calls) == 2  # of the prompts, and of the negative ones


@pytest.mark.parametrize("count", [1, 2, 7])
def test_conditions_are_equally_likely_and_can_be_chosen(count: int) -> None:
    embeds = torch.randn(count, 5, 8, generator=torch.Generator().manual_seed(1))
    denoiser = from_pipeline(tiny("sd1"), prompt_embeds=embeds, guidance_scale=1.0)
    assert denoiser.labels == tuple(map(str, range(count)))
    assert denoiser.shape == (4 + (count > 1), 4, 4)
    x = denoiser.sigma_max * np.random.default_rng(0).standard_normal((700, *denoiser.shape)).astype(np.float32)
    assert np.bincount(denoiser.condition(x), minlength=count).min() > 500 / count
    index = np.arange(700) % count
    chosen = denoiser.choose(x, index)
    np.testing.assert_array_equal(denoiser.condition(chosen), index)
    np.testing.assert_array_equal(visible(chosen, denoiser), visible(x, denoiser))


def test_what_changes_d_changes_the_fingerprint() -> None:
    pipe = tiny("inpaint")
    given = ARGUMENTS["inpaint"]
    found = {
        from_pipeline(pipe, **{**given, **change}).fingerprint
        for change in ({}, {"guidance_scale": 4.0}, {"image": 1 - given["image"]}, {"prompt": ["red", "sky"]})
    }
    assert len(found) == 4
    assert from_pipeline(pipe, **given).fingerprint in found


class NoStep(diffusers.DDPMPipeline):
    def __call__(self, batch_size: int = 1, num_inference_steps: int = 5, generator: Any = None) -> tuple[None]:
        return (None,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"guidance": 3.0}, r"StableDiffusionPipeline takes no 'guidance': choose among prompt, height"),
        ({"num_inference_steps": 8}, r"leave out num_inference_steps: "),
        ({"negative_prompt": ["a", "b", "c"]}, r"one condition needs one of each, but prompt has another number"),
        ({"prompt": []}, r"one condition needs one of each"),
        ({"prompt": None}, r"StableDiffusionPipeline fails in its own loop \(Provide either `prompt`"),
        ({"sigma_max": 1000.0}, r"sigma_max=1000 is outside the range that the model knows"),
    ],
)
def test_bad_arguments(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        pipeline_denoiser("sd1", **{"negative_prompt": None, **change})
    assert "\n" not in str(refused.value)


def test_pipelines_that_cannot_be_driven() -> None:
    unet = tiny("ddpm").unet
    for pipe, message in (
        (unet, "UNet2DModel has no scheduler to put ours in place of"),
        (NoStep(unet, diffusers.DDPMScheduler()), "NoStep comes to its end without a step of its scheduler"),
        (diffusers.DDPMPipeline(unet, diffusers.IPNDMScheduler()), "unknown prediction type None: choose one of"),
        (diffusers.DDPMPipeline(unet, diffusers.LCMScheduler()), "LCMScheduler draws noise between its steps"),
        (diffusers.DDPMPipeline(unet, diffusers.TCDScheduler()), "TCDScheduler draws noise between its steps"),
        (diffusers.DDPMPipeline(unet, diffusers.FlowMatchLCMScheduler()), "FlowMatchLCMScheduler draws noise"),
    ):
        with pytest.raises(ValueError, match=message) as refused:
            from_pipeline(pipe)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["sd1", "flux", "dit"])
def test_batches_of_uneven_size(kind: str) -> None:
    """Splitting the noises changes nothing but rounding, for several prompts and levels."""
    whole, split = pipeline_denoiser(kind)[1], from_pipeline(tiny(kind), max_batch=2, **ARGUMENTS[kind])
    x, sigma = noises(whole, [0, 1, 1, 0, 1]), np.array([0.5, 0.5, 2.0, 2.0, 2.0], np.float32)
    close(split(x, sigma), whole(x, sigma))
