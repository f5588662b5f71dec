"""Tiny whole pipelines of diffusers with seeded weights, their text encoders and tokenizers included."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from helpers.parts import (
    TOKENS,
    WIDTH,
    autoencoder,
    clap,
    clap_tokenizer,
    clip,
    clip_tokenizer,
    flux_transformer,
    sd3_transformer,
    t5,
    t5_tokenizer,
    unconditional_unet,
    unet,
    vocoder,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers

SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}  # of Stable Diffusion

KINDS: dict[str, Callable[[], Any]] = {}


def kind(make: Callable[[], Any]) -> Callable[[], Any]:
    KINDS[make.__name__] = make
    return make


def tiny(name: str) -> Any:
    """A pipeline of a kind, always with the same weights."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from transformers
        pipe = KINDS[name]()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stable_diffusion(name: str = "StableDiffusionPipeline", scheduler: Any = None, **parts: Any) -> Any:
    parts = {
        "vae": autoencoder(4),
        "text_encoder": clip(),
        "tokenizer": clip_tokenizer(),
        "unet": unet(),
        "scheduler": scheduler or diffusers.PNDMScheduler(**SCALED, skip_prk_steps=True, steps_offset=1),
        **parts,
    }
    pipe = getattr(diffusers, name)
    return pipe(**parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


@kind
def ddpm() -> Any:
    return diffusers.DDPMPipeline(unconditional_unet(), diffusers.DDPMScheduler(clip_sample=False))


@kind
def ddim() -> Any:
    return diffusers.DDIMPipeline(unconditional_unet(), diffusers.DDIMScheduler(clip_sample=False))


@kind
def dit() -> Any:
    transformer = diffusers.DiTTransformer2DModel(
        sample_size=4,
        patch_size=2,
        in_channels=4,
        out_channels=8,  # half of them a predicted variance
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_embeds_ada_norm=1000,
    )
    return diffusers.DiTPipeline(transformer, autoencoder(4), diffusers.DDIMScheduler(clip_sample=False))


@kind
def sd1() -> Any:
    return stable_diffusion()


@kind
def sd2() -> Any:
    """Predicts v, and its last level is pure noise."""
    options = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return stable_diffusion(scheduler=diffusers.DDIMScheduler(**SCALED, **options, clip_sample=False))


@kind
def sdxl() -> Any:
    sizes = {"addition_time_embed_dim": 2, "projection_class_embeddings_input_dim": 6 * 2 + WIDTH}
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(4),
        text_encoder=clip(),
        text_encoder_2=clip(projects=True),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet(addition_embed_type="text_time", cross_attention_dim=2 * WIDTH, **sizes),
        scheduler=diffusers.EulerDiscreteScheduler(**SCALED),
        add_watermarker=False,
    )


@kind
def sd3() -> Any:
    return diffusers.StableDiffusion3Pipeline(
        transformer=sd3_transformer(2 * WIDTH, 2 * WIDTH),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(4),
        text_encoder=clip(projects=True),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip(projects=True),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5(2 * WIDTH),
        tokenizer_3=t5_tokenizer(),
    )


@kind
def flux() -> Any:
    """Shifts levels by image size."""
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(4),
        text_encoder=clip(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(),
        transformer=flux_transformer(WIDTH, WIDTH),
    )


@kind
def ltx() -> Any:
    """Video, packed to tokens, with a terminal shift."""
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=WIDTH,
    )
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4,
        timestep_conditioning=False,
        patch_size=1,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    shift = {"use_dynamic_shifting": True, "shift_terminal": 0.1, "base_shift": 0.95, "max_shift": 2.05}
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**shift)
    return diffusers.LTXPipeline(scheduler, vae, t5(), t5_tokenizer(), transformer)


@kind
def wan() -> Any:
    """Video, with a flow version of UniPC."""
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=WIDTH,
        freq_dim=16,
        ffn_dim=16,
        num_layers=1,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )
    vae = diffusers.AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    options = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
    scheduler = diffusers.UniPCMultistepScheduler(**options)
    return diffusers.WanPipeline(t5_tokenizer(), t5(), vae, scheduler, transformer)


@kind
def audioldm() -> Any:
    conditions = {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": WIDTH}
    return diffusers.AudioLDMPipeline(
        vae=autoencoder(4, images=1),
        text_encoder=clap(),
        tokenizer=clap_tokenizer(),
        unet=unet(cross_attention_dim=(8,), class_embeddings_concat=True, **conditions),
        scheduler=diffusers.DDIMScheduler(**SCALED, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        vocoder=vocoder(),
    )


@kind
def inpaint() -> Any:
    """Its network takes the mask and the masked image as channels."""
    return stable_diffusion("StableDiffusionInpaintPipeline", unet=unet(in_channels=9))


def inpaint_between_steps() -> Any:
    """Its network has 4 channels, and its loop puts the image back between the steps. It is none of `KINDS`."""
    return stable_diffusion("StableDiffusionInpaintPipeline")


@kind
def controlnet() -> Any:
    net = unet()
    control = diffusers.ControlNetModel.from_unet(net, conditioning_embedding_out_channels=(4, 8))
    torch.nn.init.normal_(control.controlnet_mid_block.weight)  # else it begins without an effect
    return stable_diffusion("StableDiffusionControlNetPipeline", unet=net, controlnet=control)


@kind
def img2img() -> Any:
    return stable_diffusion("StableDiffusionImg2ImgPipeline", diffusers.EulerDiscreteScheduler(**SCALED))


@kind
def flow_img2img() -> Any:
    return diffusers.StableDiffusion3Img2ImgPipeline(**sd3().components)


PROMPTS = ["red", "sea"]
PICTURE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(5))
PROMPTED = {"prompt": PROMPTS, "guidance_scale": 3.0}
ARGUMENTS: dict[str, dict[str, Any]] = {  # that make a call of each kind small
    "ddpm": {},
    "ddim": {},
    "dit": {"class_labels": [1, 2], "guidance_scale": 2.0},
    "sd1": {**PROMPTED, "negative_prompt": "bad"},
    "sd2": {**PROMPTED, "guidance_rescale": 0.7},
    "sdxl": PROMPTED,
    "sd3": {**PROMPTED, "height": 8, "width": 8},
    "flux": {**PROMPTED, "height": 8, "width": 8, "max_sequence_length": TOKENS},
    "ltx": {**PROMPTED, "height": 32, "width": 32, "num_frames": 9, "max_sequence_length": TOKENS},
    "wan": {**PROMPTED, "height": 16, "width": 16, "num_frames": 5, "max_sequence_length": TOKENS},
    "audioldm": {**PROMPTED, "audio_length_in_s": 0.002},
    "inpaint": {**PROMPTED, "image": PICTURE, "mask_image": PICTURE[:, :1].round(), "height": 8, "width": 8},
    "controlnet": {**PROMPTED, "image": PICTURE, "height": 8, "width": 8},
    "img2img": {**PROMPTED, "image": PICTURE, "strength": 0.6},
    "flow_img2img": {**PROMPTED, "image": PICTURE, "strength": 0.6, "height": 8, "width": 8},
}
