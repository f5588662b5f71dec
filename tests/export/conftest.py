"""Tiny diffusers pipelines with random weights. Each test gets its own, always with the same weights."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers

WIDTH, POOLED = 8, 6  # of the embeddings of a prompt, one for each token and one for all


def autoencoder(channels: int) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )


def conditional_unet(**options: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=4,
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        block_out_channels=(8,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        **options,
    )


def pipeline(name: str, **parts: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from transformers, which is imported at first use
        pipe = getattr(diffusers, name)(**parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def stable_diffusion() -> Any:
    torch.manual_seed(0)
    unet, scheduler = conditional_unet(), diffusers.EulerDiscreteScheduler()
    parts = dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    parts |= {"vae": autoencoder(4), "unet": unet, "scheduler": scheduler}
    return pipeline("StableDiffusionPipeline", requires_safety_checker=False, **parts)


@pytest.fixture
def stable_diffusion_xl() -> Any:
    torch.manual_seed(0)
    sizes = {"addition_time_embed_dim": 2, "projection_class_embeddings_input_dim": 6 * 2 + POOLED}
    unet = conditional_unet(addition_embed_type="text_time", **sizes)
    scheduler = diffusers.EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    parts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    parts |= {"vae": autoencoder(4), "unet": unet, "scheduler": scheduler}
    return pipeline("StableDiffusionXLPipeline", add_watermarker=False, **parts)


@pytest.fixture
def stable_diffusion_3() -> Any:
    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=4,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=POOLED,
    )
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    parts = dict.fromkeys(f"{name}{index}" for index in ("", "_2", "_3") for name in ("text_encoder", "tokenizer"))
    parts |= {"vae": autoencoder(4), "transformer": transformer, "scheduler": scheduler}
    return pipeline("StableDiffusion3Pipeline", **parts)


@pytest.fixture
def flux() -> Any:
    """It packs 2 × 2 latents of 4 channels into a token of 16, and its own scheduler shifts levels by image size."""
    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=POOLED,
        axes_dims_rope=(2, 2, 4),
        guidance_embeds=True,
    )
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    parts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    parts |= {"vae": autoencoder(4), "transformer": transformer, "scheduler": scheduler}
    return pipeline("FluxPipeline", **parts)
