"""Tiny diffusers pipelines with random weights. Each test gets its own, always with the same weights."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from helpers.parts import WIDTH, flux_transformer, sd3_transformer, unet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers

POOLED = 6  # width of the embedding of a whole prompt


def autoencoder(channels: int) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
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
    network, scheduler = unet(), diffusers.EulerDiscreteScheduler()
    parts = dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    parts |= {"vae": autoencoder(4), "unet": network, "scheduler": scheduler}
    return pipeline("StableDiffusionPipeline", requires_safety_checker=False, **parts)


@pytest.fixture
def stable_diffusion_xl() -> Any:
    torch.manual_seed(0)
    sizes = {"addition_time_embed_dim": 2, "projection_class_embeddings_input_dim": 6 * 2 + POOLED}
    network = unet(addition_embed_type="text_time", **sizes)
    scheduler = diffusers.EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    parts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    parts |= {"vae": autoencoder(4), "unet": network, "scheduler": scheduler}
    return pipeline("StableDiffusionXLPipeline", add_watermarker=False, **parts)


@pytest.fixture
def stable_diffusion_3() -> Any:
    torch.manual_seed(0)
    transformer = sd3_transformer(WIDTH, POOLED)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    parts = dict.fromkeys(f"{name}{index}" for index in ("", "_2", "_3") for name in ("text_encoder", "tokenizer"))
    parts |= {"vae": autoencoder(4), "transformer": transformer, "scheduler": scheduler}
    return pipeline("StableDiffusion3Pipeline", **parts)


@pytest.fixture
def flux() -> Any:
    """Its own scheduler shifts levels by image size."""
    torch.manual_seed(0)
    transformer = flux_transformer(WIDTH, POOLED)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    parts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    parts |= {"vae": autoencoder(4), "transformer": transformer, "scheduler": scheduler}
    return pipeline("FluxPipeline", **parts)
