"""Saved pipelines and conditional models of diffusers."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from art_gym.denoisers import from_diffusers
from art_gym.denoisers.diffusers_folders import load_folder
from art_gym.envs.env import ARTDiffusionEnv
from art_gym.export.diffusers import diffusers_arguments
from art_gym.measures.errors import image_error
from art_gym.schedules import Schedule
from art_gym.solvers.loop import integrate
from helpers.diffusion import CLOSE, SIZE, conditional_model, run, start

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers


def text_conditioned() -> tuple[Any, Any]:
    """A conditional UNet in a callable that fixes guidance between two prompts' embeddings."""
    embeddings = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(3))

    def call(model: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        free, given = (
            model(x, timestep, encoder_hidden_states=prompt.expand(len(x), -1, -1)).sample for prompt in embeddings
        )
        return free + 3 * (given - free)

    return conditional_model(), call


def class_conditioned() -> tuple[Any, Any]:
    """A diffusion transformer for one class that predicts a variance too."""
    torch.manual_seed(0)
    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=2,
        out_channels=4,
        num_layers=1,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=10,
        norm_num_groups=1,
    )

    def call(model: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        labels = torch.full((len(x),), 7)
        return model(x, timestep, class_labels=labels).sample[:, :2]

    return model.eval(), call


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [text_conditioned, class_conditioned])
def test_conditional_models_through_a_callable(make: Any) -> None:
    model, call = make()
    scheduler = diffusers.EulerDiscreteScheduler()
    levels = Schedule((14.0, 2.0, 0.5, 0.1, 0.0), "test")
    scheduler.set_timesteps(**diffusers_arguments(levels, scheduler))

    def called(x: torch.Tensor, timestep: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=call(model, x, timestep))

    theirs = run(scheduler, called, start(14.0))
    ours = integrate(from_diffusers(model, scheduler, call=call, data_std=1.0), levels.sigmas, start(14.0), "euler")
    torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_saved_pipeline_round_trips(tmp_path: Path, tiny_model: Any) -> None:
    pipeline = diffusers.DDPMPipeline(tiny_model(), diffusers.DDPMScheduler())
    pipeline.save_pretrained(tmp_path / "pipeline")
    loaded = from_diffusers(tmp_path / "pipeline")
    direct = from_diffusers(tiny_model(), diffusers.DDPMScheduler())
    assert loaded.shape == SIZE
    assert loaded.fingerprint == direct.fingerprint
    x, sigma = start(3.0).numpy(), np.full(3, 3.0, np.float32)
    np.testing.assert_allclose(loaded(x, sigma), direct(x, sigma), rtol=1e-5)
    by_folder = from_diffusers(tmp_path / "pipeline" / "unet", tmp_path / "pipeline" / "scheduler")
    np.testing.assert_allclose(by_folder(x, sigma), direct(x, sigma), rtol=1e-5)
    by_pipeline = from_diffusers(tiny_model(), str(tmp_path / "pipeline"))  # has the scheduler
    assert by_pipeline.fingerprint == direct.fingerprint


@pytest.mark.filterwarnings("ignore")
def test_parts_of_a_pipeline_may_lack_its_variant(tmp_path: Path, tiny_model: Any) -> None:
    """As in diffusers, a model saved without the variant is loaded without it."""
    vqvae = diffusers.VQModel(
        block_out_channels=(32,), down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",)
    )
    pipeline = diffusers.LDMPipeline(vqvae, tiny_model(), diffusers.DDIMScheduler())
    pipeline.save_pretrained(tmp_path, variant="fp16")
    (saved,) = (tmp_path / "vqvae").glob("*.safetensors")
    saved.rename(saved.with_name(saved.name.replace(".fp16", "")))
    loaded = load_folder(tmp_path, "fp16")
    for name, tensor in pipeline.vqvae.state_dict().items():
        torch.testing.assert_close(loaded.vqvae.state_dict()[name], tensor)


@pytest.mark.filterwarnings("ignore")
def test_variants_of_weights_load_in_silence(tmp_path: Path, tiny_model: Any, capfd: pytest.CaptureFixture) -> None:
    scheduler = diffusers.DDPMScheduler()
    diffusers.DDPMPipeline(tiny_model().half(), scheduler).save_pretrained(tmp_path, variant="fp16")
    logging = diffusers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    half = from_diffusers(tmp_path, variant="fp16", dtype=torch.float16)
    assert capfd.readouterr().err == ""
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    full, x, sigma = from_diffusers(tiny_model(), scheduler), start(1.0), torch.ones(3)
    torch.testing.assert_close(half(x, sigma), full(x, sigma), rtol=0.01, atol=0.01)


@pytest.mark.filterwarnings("ignore")
def test_a_callable_conditions_the_model(tiny_model: Any) -> None:
    """A callable fixes guidance as twice the model's output minus a copy that sees another time."""
    model, scheduler = tiny_model(), diffusers.DDPMScheduler()

    def guided(network: Any, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return 2 * network(x, timestep).sample - network(x, 0 * timestep).sample

    denoiser = from_diffusers(model, scheduler, call=guided)
    x, sigma = start(1.0), torch.ones(3)
    plain = from_diffusers(model, scheduler)
    assert not torch.allclose(denoiser(x, sigma), plain(x, sigma))
    assert denoiser.fingerprint is None


@pytest.mark.filterwarnings("ignore")
def test_endpoints_are_named_by_all_that_they_depend_on(tiny_model: Any) -> None:
    """The same network has other precise endpoints with another noise table, range, precision, prediction or scale."""
    scheduler, other = diffusers.DDPMScheduler(), diffusers.DDPMScheduler(beta_schedule="scaled_linear")
    flow = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=500)
    variants = [
        from_diffusers(tiny_model(), other),
        from_diffusers(tiny_model(), flow),
        from_diffusers(tiny_model(), scheduler, sigma_max=80.0),
        from_diffusers(tiny_model(), scheduler, dtype=torch.bfloat16),
        from_diffusers(tiny_model(), scheduler, prediction_type="sample"),
        from_diffusers(tiny_model(), scheduler, rounding=True),
        from_diffusers(tiny_model(), scheduler, data_std=1.0),
    ]
    plain = from_diffusers(tiny_model(), scheduler).fingerprint
    assert len({plain, *(variant.fingerprint for variant in variants)}) == 1 + len(variants)
    assert plain == from_diffusers(tiny_model(), diffusers.DDPMScheduler(), max_batch=3).fingerprint


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample", "flow_prediction"])
def test_only_the_network_runs_in_half_precision(prediction: str, tiny_model: Any) -> None:
    """D's error comes from the network only, and stays small relative to the data at large and small σ."""
    flow = prediction == "flow_prediction"
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler() if flow else diffusers.DDPMScheduler()
    options = {} if flow else {"prediction_type": prediction}
    half, full = (
        from_diffusers(tiny_model(), scheduler, dtype=dtype, **options) for dtype in (torch.bfloat16, torch.float32)
    )
    for sigma in (full.sigma_max, 1.0, full.sigma_min):
        x, levels = start(1.0) * (1 + sigma**2) ** 0.5, torch.full((3,), sigma)
        weight = {  # the weight of the network's output in D
            "epsilon": sigma,
            "v_prediction": sigma / (1 + sigma**2) ** 0.5,
            "sample": 1.0,
            "flow_prediction": sigma / (1 + sigma),
        }[prediction]
        difference = (half(x, levels) - full(x, levels)).abs().max() / weight
        assert difference < 0.03  # the tiny network's outputs are about 1, bfloat16 has three digits
    assert half(x, levels).dtype == torch.float32


@pytest.mark.filterwarnings("ignore")
def test_latent_pipeline_is_judged_in_image_space(tmp_path: Path, tiny_model: Any) -> None:
    """A saved latent-diffusion pipeline: its VAE decodes with its own scaling, and the reward may be of images."""
    torch.manual_seed(1)
    vae = diffusers.AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=2,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        scaling_factor=0.5,
    ).eval()
    diffusers.LDMPipeline(vae, tiny_model(), diffusers.DDIMScheduler()).save_pretrained(tmp_path / "latent")
    denoiser = from_diffusers(tmp_path / "latent", data_std=1.0, max_batch=2)
    latents = np.random.default_rng(0).standard_normal((5, *SIZE)).astype(np.float32)
    with torch.no_grad():
        images = vae.decode(torch.from_numpy(latents) / 0.5).sample.numpy()
    assert images.shape == (5, 3, 16, 16)
    np.testing.assert_allclose(denoiser.decode(latents), images, atol=1e-5)
    moved = latents + np.float32(0.1)
    expected = np.sqrt(((images - denoiser.decode(moved)) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(image_error(denoiser, latents, moved), expected, rtol=1e-5)
    config = {"solver": "euler", "num_steps": 2, "population": 2, "noises": 2, "reward": "log_ratio_images"}
    env = ARTDiffusionEnv(task=denoiser, **config)
    env.reset(seed=0)
    env.step(np.full(1, 0.2, np.float32))
    *_, terminated, _, info = (step := env.step(np.zeros(1, np.float32)))  # the last step asks no action map
    assert terminated
    core, landed = env.unwrapped.core, env.unwrapped.state
    ours, edm = (
        of(landed, images=True)[0].mean() for of in (core.problem.endpoint_errors, core.problem.reference_errors)
    )
    assert step[1] == pytest.approx(np.log(edm / ours), rel=1e-4)
    assert step[1] != pytest.approx(np.log(info["error_reference"] / info["error"]), rel=1e-3)


def test_image_reward_needs_a_decoder() -> None:
    with pytest.raises(ValueError, match=r"does not fit the task 'gaussian_1d': .* has no decoder"):
        gym.make("art_gym:ARTDiffusion-v0", task="gaussian_1d", num_steps=1, reward="log_ratio_images")
