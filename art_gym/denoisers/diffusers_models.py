"""Models of diffusers as denoisers: ε, v, x₀ and flow prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_gym.denoisers.diffusers_folders import check_scheduler, load_folder, load_scheduler
from art_gym.denoisers.model_calls import fingerprint_of, hashed, network_call, noise_range, tried
from art_gym.denoisers.torch_denoiser import Function, TorchDenoiser, usable_device
from art_gym.denoisers.variance_preserving import flow_sigmas, knows_all_levels, vp_sigmas

PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")
IMAGES_STD, LATENTS_STD = 0.5, 1.0  # of images in [−1, 1]; what latent-diffusion models scale theirs to

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
    **options: Any,
) -> TorchDenoiser:
    """A diffusers model as a denoiser D(x, σ) in the variance-exploding convention.

    A latent-diffusion pipeline is run in its latent space; its VAE becomes the ``decoder``, for errors in image space.

    A model (or pipeline) object is used as it is, not copied: it is moved to ``device`` and ``dtype`` and set to
    evaluation mode, and its parameters stop asking for gradients. Pass a ``copy.deepcopy`` of one that is to be trained
    further.

    Args:
        model: a pipeline, a model (UNet2DModel, a conditional UNet, a transformer), or the local folder of either. Only
            safetensors are read.
        scheduler: for a model alone: the scheduler that it was trained with, or its folder, or that of its pipeline.
        call: (model, model input, timesteps (B,)) to the model's output; it fixes what else the model is conditioned on
            (prompt embeddings, guidance). The model alone by default.
        shape: of one latent; from the model's configuration by default.
        prediction_type: instead of the scheduler's: epsilon, v_prediction, sample or flow_prediction.
        rounding: use the nearest of the timesteps that the model was trained on, instead of interpolated ones. Flow
            models know all times; diffusers' DPMSolverMultistep calls them at the next whole one below, as this does.
        sigma_min, sigma_max: a part of the noise range that the model was trained on; all of it by default.
        dtype: of the network (and of the decoder); everything around it is computed in float32.
        variant: of the weight files in a folder, such as "fp16".
        options: of `TorchDenoiser`: data_std (by default 1.0 for a pipeline with a VAE, whose latents mostly have that,
            and 0.5, that of images, for others), device, max_batch, max_memory, autocast.

    Raises:
        ValueError: for a folder without a model or with pickled weights only, an unknown prediction type, a scheduler
            without a table of noise levels, rounding for one of all levels, a noise range beyond that table, or a model
            that cannot be run on such latents, for instance since it needs conditioning.
    """
    if prediction_type is not None:
        _check_prediction(prediction_type)  # before a large model is loaded
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating dtype of torch, such as torch.float16, got {dtype!r}")
    model, scheduler, vae = _parts(model, scheduler, variant, dtype)
    config = check_scheduler(scheduler, "scheduler is").config
    known = "flow_prediction" if type(scheduler).__name__.startswith("FlowMatch") else config.get("prediction_type")
    prediction = prediction_type or _check_prediction(known)
    all_levels = knows_all_levels(scheduler)
    if rounding and all_levels:
        raise ValueError("rounding=True is for models of discrete timesteps, and this one knows all: leave it out")
    device = usable_device(options.get("device", "cpu"))
    model = _placed(model, device, dtype)
    run = call or (lambda network, x, timestep: network(x, timestep).sample)
    network = network_call(lambda x, timestep: run(model, x, timestep), type(model).__name__, dtype)
    if prediction == "flow_prediction":
        steps = config.get("num_train_timesteps", 1000)
        table = flow_sigmas(steps)
        options["flow"] = True
        function = _flow(network, steps, rounding)
    else:
        table = vp_sigmas(scheduler)
        known_logs = torch.from_numpy(np.log(table))

        def time(logs: torch.Tensor) -> torch.Tensor:
            return logs / 4 if all_levels else _interpolated(logs, known_logs)

        function = _variance_preserving(network, prediction, time, rounding)
    bounds = noise_range(sigma_min, sigma_max, float(table[0]), float(table[-1]))
    if options.get("data_std") is None:
        options["data_std"] = IMAGES_STD if vae is None else LATENTS_STD
    if call is None:  # no hash can see what a callable conditions the model on
        facts = (prediction, rounding, str(dtype), table.tolist(), bounds, *hashed(options))
        options.setdefault("fingerprint", fingerprint_of(facts, model.state_dict()))
    if vae is not None:
        options.setdefault("decoder", _decoder(_placed(vae, device, dtype)))
    return tried(TorchDenoiser(function, shape or _shape(model), *bounds, **options))


def _check_prediction(name: object) -> str:
    """Return a prediction type, or raise a ValueError if it is none that is known here."""
    if not isinstance(name, str) or name not in PREDICTIONS:
        raise ValueError(
            f"unknown prediction type {name!r}: choose one of {', '.join(PREDICTIONS)} with prediction_type= "
            f"(--prediction-type)"
        )
    return name


def _variance_preserving(
    network: Function, prediction: str, time: Callable[[torch.Tensor], torch.Tensor], rounding: bool
) -> Function:
    """D of a model of x/√(1 + σ²) that is called at ``time`` of (B,) log σ."""

    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        timestep = time(torch.log(sigma.cpu().double())).to(sigma.device, torch.float32)
        wide = sigma.reshape(-1, *[1] * (x.ndim - 1))
        total = (1 + wide**2).sqrt()
        output = network(x / total, timestep.round().long() if rounding else timestep)
        if prediction == "epsilon":
            return x - wide * output
        if prediction == "v_prediction":
            return x / total**2 - wide / total * output
        return output

    return function


def _flow(network: Function, steps: int, rounding: bool) -> Function:
    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        time = sigma / (1 + sigma)  # s, of z = (1 − s) x₀ + s ε
        wide = time.reshape(-1, *[1] * (x.ndim - 1))
        z = (1 - wide) * x
        timestep = time * steps
        if rounding:  # down, and what float32 has lost of a whole one is none
            timestep = (timestep + 1e-3).floor()
        return z - wide * network(z, timestep)  # the velocity is ε − x₀

    return function


def _interpolated(logs: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Fractional positions of (B,) values in an increasing table, within its ends."""
    index = (torch.searchsorted(table, logs) - 1).clamp(0, len(table) - 2)
    share = (logs - table[index]) / (table[index + 1] - table[index])
    return index + share.clamp(0, 1)


def _decoder(vae: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Images of clean latents, by a pipeline's VAE."""
    scaling, shift = vae.config.get("scaling_factor") or 1.0, vae.config.get("shift_factor") or 0.0
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")  # of each channel, where they are given
    if mean is None or std is None:
        return lambda x: vae.decode((x / scaling + shift).to(vae.dtype)).sample
    mean, std = (torch.tensor(values).reshape(-1, 1, 1).to(vae.device) for values in (mean, std))
    return lambda x: vae.decode((x * std / scaling + mean).to(vae.dtype)).sample


def _placed(model: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A model for inference. One that was loaded in this precision may keep some layers in float32: they stay so."""
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"a {type(model).__name__} is no network: pass a pipeline or a model of diffusers, or the folder of either"
        )
    first = next(model.parameters(), None)
    if first is not None and first.dtype != dtype:
        model = model.to(dtype=dtype)
    return model.to(device=device).eval().requires_grad_(False)


def _parts(model: Any, scheduler: Any, variant: str | None, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    """The network, the scheduler, and the VAE or None, from whatever was given."""
    for name, part in (("model", model), ("scheduler", scheduler)):
        if isinstance(part, type):
            raise ValueError(f"{name} is the class {part.__name__}: give an object of it")
    if isinstance(model, str | Path):
        model = load_folder(Path(model), variant, dtype)
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
    height, width = (size, size) if isinstance(size, int) else size
    return (channels, height, width)
