"""Tiny parts of pipelines with random weights, and tokenizers that know letters."""

from __future__ import annotations

import string
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from these libraries and their imports
    import diffusers
    import transformers

WIDTH, TOKENS = 8, 8
LETTERS = string.ascii_lowercase


def clip_tokenizer() -> Any:
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    vocabulary = {word: i for i, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)


def clip(projects: bool = False) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=2 + 2 * len(LETTERS),
        hidden_size=WIDTH,
        intermediate_size=8,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    kind = transformers.CLIPTextModelWithProjection if projects else transformers.CLIPTextModel
    return kind(config).eval()


def t5_tokenizer() -> Any:
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -1.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    return transformers.T5Tokenizer(vocab=words, extra_ids=0, model_max_length=TOKENS)


def t5(width: int = WIDTH) -> Any:
    sizes = {"d_model": width, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    return transformers.T5EncoderModel(transformers.T5Config(vocab_size=4 + len(LETTERS), **sizes)).eval()


def clap_tokenizer() -> Any:
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "Ġ", *LETTERS]
    vocabulary = {word: i for i, word in enumerate(words)}
    return transformers.RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)


def clap() -> Any:
    config = transformers.ClapTextConfig(
        vocab_size=6 + len(LETTERS),
        hidden_size=WIDTH,
        intermediate_size=8,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=TOKENS + 2,
        pad_token_id=1,
    )
    return transformers.ClapTextModelWithProjection(config).eval()


def vocoder() -> Any:
    config = transformers.SpeechT5HifiGanConfig(
        model_in_dim=8,
        sampling_rate=16000,
        upsample_initial_channel=16,
        upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4],
        resblock_kernel_sizes=[3, 7],
        resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
        normalize_before=False,
    )
    return transformers.SpeechT5HifiGan(config)


def autoencoder(channels: int, images: int = 3) -> Any:
    return diffusers.AutoencoderKL(
        in_channels=images,
        out_channels=images,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=channels,
        scaling_factor=0.5,
        shift_factor=0.1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )


def unet(**options: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        **{
            "sample_size": 4,
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "cross_attention_dim": WIDTH,
            "attention_head_dim": 4,
            "block_out_channels": (8,),
            "down_block_types": ("CrossAttnDownBlock2D",),
            "up_block_types": ("CrossAttnUpBlock2D",),
            **options,
        }
    )


def unconditional_unet() -> Any:
    return diffusers.UNet2DModel(
        sample_size=4,
        in_channels=2,
        out_channels=2,
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
    )


def sd3_transformer(joint: int, pooled: int) -> Any:
    """For embeddings of these widths, of each token and of a whole prompt."""
    return diffusers.SD3Transformer2DModel(
        sample_size=4,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=joint,
        caption_projection_dim=16,
        pooled_projection_dim=pooled,
    )


def flux_transformer(joint: int, pooled: int) -> Any:
    """The same of Flux, which packs 2 × 2 latents of 4 channels into a token of 16."""
    return diffusers.FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=joint,
        pooled_projection_dim=pooled,
        axes_dims_rope=(2, 2, 4),
        guidance_embeds=True,
    )
