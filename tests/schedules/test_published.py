"""The grids that others have published for a model: what whole pipelines take by themselves, and Align Your Steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from art_gym.agents.learn.budget import Budget, Metered
from art_gym.agents.learn.plugged import difference
from art_gym.agents.learn.trial import Trial
from art_gym.denoisers import from_diffusers, from_pipeline
from art_gym.schedules.published import AYS, published
from art_gym.solvers.base import get_solver
from art_gym.tasks.registry import get_task
from helpers.pipelines import ARGUMENTS, KINDS, diffusers, tiny

K = 6
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("kind", KINDS)
def test_the_own_schedule_is_what_the_pipeline_takes(kind: str) -> None:
    """The levels at which its network is called in a whole run."""
    pipe, seen = tiny(kind), []

    def note(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        time = next((named[name] for name in ("timestep", "t") if name in named), given[1] if len(given) > 1 else None)
        seen.append(float(torch.as_tensor(time).reshape(-1)[0]))

    network = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    denoiser = from_pipeline(pipe, **ARGUMENTS[kind])
    found = {name: levels for name, levels in published(denoiser, K).items() if name != AYS}
    assert [*found] == [f"own schedule ({type(pipe.scheduler).__name__.removesuffix('Scheduler')})"]
    hook = network.register_forward_pre_hook(note, with_kwargs=True)
    one = denoiser.loop.arguments([0])
    if strength := ARGUMENTS[kind].get("strength"):
        one["strength"] = strength
    pipe(**one, num_inference_steps=math.ceil(K / (strength or 1.0)))
    hook.remove()
    factor = 1000 if kind == "flux" else 1  # its network is told timestep / 1000
    expected = [denoiser.prediction.level(factor * time) for time in dict.fromkeys(seen)]
    rounding = 0.02 if kind == "wan" else 2e-3  # Wan's scheduler rounds timesteps down, but not its levels
    np.testing.assert_allclose(*found.values(), [*expected, 0.0], rtol=rounding)


def test_a_model_without_its_pipeline_has_its_scheduler_s_own() -> None:
    pipe = tiny("ddpm")
    of_model, of_pipeline = published(from_diffusers(pipe), K), published(from_pipeline(pipe), K)
    np.testing.assert_allclose(of_model.pop("own schedule (DDPM)"), of_pipeline.pop("own schedule (DDPM)"))
    assert not of_model
    flow = from_diffusers(pipe.unet, diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True))
    assert not published(flow, K)  # only a pipeline knows how far to shift
    assert not published(get_task("ring_2d"), K)


@pytest.mark.parametrize(
    ("kind", "second"), [("sd1", 6.475), ("inpaint", 6.475), ("controlnet", 6.475), ("sdxl", 6.315)]
)
def test_the_table_of_align_your_steps(kind: str, second: float) -> None:
    denoiser = from_pipeline(tiny(kind), **ARGUMENTS[kind])
    ten, five = (published(denoiser, count)[AYS] for count in (10, 5))
    assert ten[:2] == pytest.approx([denoiser.sigma_max, second], rel=1e-3)
    assert len(five) == 6
    assert five[[0, 4, 5]] == pytest.approx(ten[[0, 9, 10]])
    assert five[2] == pytest.approx((ten[4] * ten[5]) ** 0.5)  # half way, in log σ


@pytest.mark.parametrize("kind", ["ddpm", "sd2", "sd3", "img2img"])
def test_models_without_a_table(kind: str) -> None:
    """Stable Diffusion 2 predicts v, and image-to-image begins below the table."""
    assert AYS not in published(from_pipeline(tiny(kind), **ARGUMENTS[kind]), 10)


def image_to_video() -> Any:
    """A tiny Stable Video Diffusion."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    vision = {"hidden_size": 8, "projection_dim": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"intermediate_size": 8, "patch_size": 112}
    network = diffusers.UNetSpatioTemporalConditionModel(
        sample_size=8,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=8,
        num_attention_heads=2,
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
    )
    blocks = {"block_out_channels": (32, 32), "down_block_types": ("DownEncoderBlock2D",) * 2}
    levels = {"timestep_type": "continuous", "sigma_min": 0.002, "sigma_max": 700.0, "use_karras_sigmas": True}
    pipe = diffusers.StableVideoDiffusionPipeline(
        vae=diffusers.AutoencoderKLTemporalDecoder(**blocks),
        image_encoder=CLIPVisionModelWithProjection(CLIPVisionConfig(**vision)),
        unet=network,
        scheduler=diffusers.EulerDiscreteScheduler(prediction_type="v_prediction", **levels),
        feature_extractor=CLIPImageProcessor(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_stable_video_diffusion() -> None:
    """Its table begins at its largest level, 700, and its pipeline samples with the table what we do."""
    image = Image.new("RGB", (16, 16), (200, 30, 30))
    denoiser = from_pipeline(image_to_video(), image=image, num_frames=2, height=16, width=16, max_guidance_scale=2.0)
    found = published(denoiser, 10)
    assert found[AYS][:2] == pytest.approx([700.0, 54.5])
    assert found["own schedule (EulerDiscrete)"][0] == pytest.approx(700.0)
    trial = Trial(denoiser, Metered(denoiser, Budget()), get_solver("dpmpp_2m"))
    noise = np.random.default_rng(0).standard_normal((1, *denoiser.shape), np.float32)
    assert difference(trial, published(denoiser, 4)[AYS], np.float32(700) * noise) < 1e-5
