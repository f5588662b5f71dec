"""Models of diffusers as denoisers: ε, v, x₀ and flow prediction."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_gym.common.messages import short
from art_gym.denoisers.diffusers_folders import check_scheduler, load_folder, load_scheduler
from art_gym.denoisers.model_calls import fingerprint_of, hashed, network_call, noise_range, tried
from art_gym.denoisers.predictions import IMAGES_STD, LATENTS_STD, Prediction, check_prediction, scheduler_name
from art_gym.denoisers.torch_denoiser import TorchDenoiser, usable_device

Call = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]


def from_diffusers(
    model: Any,
    scheduler: Any = None,
    call: Call | None = None,
    shape: tuple[int, ...] | None = None,
    prediction_type: str | None = None,
    rounding: bool = False,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    dtype: torch.dtype = torch.float32,
    variant: str | None = None,
    trust_remote_code: bool = False,
    compile: bool = False,
    **options: Any,
) -> TorchDenoiser:
    """Return a denoiser D(x, σ), in the variance-exploding convention, from a diffusers model.

    A latent-diffusion pipeline runs in its latent space. Its VAE becomes the ``decoder``, for errors in image space.

    A model or pipeline object is not copied. It is moved to ``device`` and ``dtype`` and set to evaluation mode, and
    its parameters no longer require gradients. Pass a ``copy.deepcopy`` if you want to train the object further.

    Args:
        model: a pipeline, a model (UNet2DModel, a conditional UNet, a transformer), or the local folder of either. Only
            safetensors are read.
        scheduler: the scheduler that the model was trained with, its folder, or the folder of its pipeline. A pipeline
            needs none.
        call: maps (model, model input, timesteps (B,)) to the model's output. Use it to add conditioning, such as
            prompt embeddings and guidance. By default the model is called without any.
        shape: shape of one latent, by default from the model's configuration.
        prediction_type: epsilon, v_prediction, sample or flow_prediction, by default the scheduler's.
        rounding: call the model at the nearest timestep of its training, not at an interpolated one. A flow model knows
            all times and is called at the next whole timestep below, as diffusers' DPMSolverMultistep does.
        sigma_min, sigma_max: part of the noise range that the model was trained on, by default all of it.
        dtype: dtype of the network and of the decoder. Everything around them is computed in float32.
        variant: variant of the weight files in a folder, such as "fp16".
        trust_remote_code: let a folder bring classes of its own, whose code runs with your rights. Otherwise every
            class that it names must be one of diffusers' or transformers'.
        compile: compile the network with ``torch.compile``. The first calls take a minute or more.
        options: arguments of `TorchDenoiser`: data_std, device, max_batch, max_memory, autocast. The default data_std
            is 1.0 for a pipeline with a VAE, as most latents have, and 0.5 for others, as images have.

    Raises:
        ValueError: for a folder without a model or with pickled weights only, an unknown prediction type, a scheduler
            without a table of noise levels, rounding for a model of all levels, a noise range beyond that table, or a
            model that cannot run on such latents, for example because it needs conditioning.
    """
    if prediction_type is not None:
        check_prediction(prediction_type)  # before a large model is loaded
    model, scheduler, vae = _parts(model, scheduler, variant, dtype, trust_remote_code)
    prediction = Prediction.of(check_scheduler(scheduler, "scheduler is"), prediction_type)
    if rounding and prediction.all_levels:
        raise ValueError("rounding=True is for models of discrete timesteps, but this one knows every σ: leave it out")
    device = usable_device(options.get("device", "cpu"))
    model = _placed(model, device, dtype)
    if compile:
        model.compile()
    run = call or (lambda network, x, timestep: network(x, timestep).sample)
    network = network_call(lambda x, timestep: run(model, x, timestep), type(model).__name__, dtype)
    function = prediction.function(network, rounding)
    options |= {"flow": prediction.flow, "own_levels": partial(_own_levels, scheduler, prediction)}
    bounds = noise_range(sigma_min, sigma_max, *prediction.bounds)
    if options.get("data_std") is None:
        options["data_std"] = prediction.edm or (IMAGES_STD if vae is None else LATENTS_STD)
    if call is None:  # a hash cannot include the conditioning of a callable
        facts = (prediction.kind, rounding, str(dtype), prediction.table.tolist(), bounds, *hashed(options))
        options.setdefault("fingerprint", fingerprint_of(facts, model.state_dict()))
    if vae is not None:
        options.setdefault("decoder", _decoder(_placed(vae, device, dtype)))
    return tried(TorchDenoiser(function, shape or _shape(model), *bounds, **options))


def _own_levels(scheduler: Any, prediction: Prediction, num_steps: int) -> dict[str, np.ndarray]:
    """Return the (K+1,) levels of a scheduler by its name. Empty if it takes no K steps, or does not by itself."""
    own = deepcopy(scheduler)
    try:
        own.set_timesteps(num_steps)
    except (TypeError, ValueError):  # such as for a shift that only its pipeline knows
        return {}
    levels = prediction.levels_of(own)
    return {scheduler_name(scheduler): levels} if len(levels) == num_steps + 1 else {}


def _decoder(vae: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that decodes clean latents to images with a pipeline's VAE."""
    scaling, shift = vae.config.get("scaling_factor") or 1.0, vae.config.get("shift_factor") or 0.0
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")  # of each channel, or None
    if mean is None or std is None:
        return lambda x: vae.decode((x / scaling + shift).to(vae.dtype)).sample
    mean, std = (torch.tensor(values).reshape(-1, 1, 1).to(vae.device) for values in (mean, std))
    return lambda x: vae.decode((x * std / scaling + mean).to(vae.dtype)).sample


def _placed(model: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Prepare a model for inference. Some layers of a model loaded in this precision may be float32 and stay so."""
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"a {type(model).__name__} is no network: pass a pipeline or a model of diffusers, or the folder of either"
        )
    first = next(model.parameters(), None)
    if first is not None and first.dtype != dtype:
        model = model.to(dtype=dtype)
    return model.to(device=device).eval().requires_grad_(False)


def _parts(model: Any, scheduler: Any, variant: str | None, dtype: torch.dtype, trusted: bool) -> tuple[Any, Any, Any]:
    """Return the network, the scheduler, and the VAE or None, from the objects or folders given."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating dtype of torch, such as torch.float16, got {short(dtype)}")
    for name, part in (("model", model), ("scheduler", scheduler)):
        if isinstance(part, type):
            raise ValueError(f"{name} is the class {part.__name__}: give an object of it")
    if isinstance(model, str | Path):
        model = load_folder(Path(model), variant, dtype, trusted)
    if isinstance(scheduler, str | Path):
        scheduler = load_scheduler(Path(scheduler))
    if hasattr(model, "scheduler"):  # a pipeline
        network = getattr(model, "unet", None) or getattr(model, "transformer", None)
        if network is None:
            raise ValueError(f"{type(model).__name__} has neither a unet nor a transformer: pass its denoising network")
        return network, scheduler or model.scheduler, getattr(model, "vae", None) or getattr(model, "vqvae", None)
    if scheduler is None:
        raise ValueError(
            "a model alone does not say what it predicts at which noise: pass its scheduler too (--scheduler)"
        )
    return model, scheduler, None


def _shape(model: Any) -> tuple[int, ...]:
    config = getattr(model, "config", {})
    channels, size = config.get("in_channels"), config.get("sample_size")
    if channels is None or size is None:
        raise ValueError(
            f"{type(model).__name__} does not say its latents' shape: pass shape=(channels, height, width), or "
            f"--shape C H W"
        )
    shape = (channels, *(size if isinstance(size, list | tuple) else (size, size)))
    if not (len(shape) == 3 and all(type(part) is int and part >= 1 for part in shape)):
        raise ValueError(
            f"in_channels and sample_size of {type(model).__name__} must be whole numbers of at least 1, got "
            f"{short(channels)} and {short(size)}: pass shape=(channels, height, width), or --shape C H W"
        )
    return shape
