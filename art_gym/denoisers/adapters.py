"""Models of other libraries as denoisers: diffusers (ε, v, x₀ and flow prediction) and NVLabs' EDM files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_gym.denoisers.torch_denoiser import TorchDenoiser
from art_gym.denoisers.variance_preserving import vp_sigmas

PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")
FLOW_LARGEST = 0.999  # s of pure noise is 1, where σ = s/(1 − s) is infinite
Call = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]


def from_diffusers(
    model: Any,
    scheduler: Any = None,
    call: Call | None = None,
    shape: tuple[int, ...] | None = None,
    prediction_type: str | None = None,
    rounding: bool = False,
    **options: Any,
) -> TorchDenoiser:
    """A diffusers model as a denoiser D(x, σ) in the variance-exploding convention.

    A latent-diffusion pipeline is run in its latent space; its VAE becomes the ``decoder``, for errors in image space.

    Args:
        model: a pipeline, a model (UNet2DModel, a conditional UNet, a transformer), or the local folder of either. Only
            safetensors are read.
        scheduler: for a model alone: the scheduler that it was trained with, or its folder.
        call: (model, model input, timesteps (B,)) to the model's output; it fixes what else the model is conditioned on
            (prompt embeddings, guidance). The model alone by default.
        shape: of one latent; from the model's configuration by default.
        prediction_type: instead of the scheduler's: epsilon, v_prediction, sample or flow_prediction.
        rounding: use the nearest of the timesteps that the model was trained on, instead of interpolated ones.
        options: of `TorchDenoiser`: data_std (1.0 fits most latents, 0.5 images), device, dtype, max_batch, autocast.

    Raises:
        ValueError: for a folder without a model or with pickled weights only, or an unknown prediction type.
    """
    model, scheduler, vae = _parts(model, scheduler)
    config = scheduler.config
    known = "flow_prediction" if type(scheduler).__name__.startswith("FlowMatch") else config.get("prediction_type")
    prediction = prediction_type or known
    if prediction not in PREDICTIONS:
        raise ValueError(f"unknown prediction type {prediction!r}: choose one of {', '.join(PREDICTIONS)}")
    device, dtype = torch.device(options.get("device", "cpu")), options.get("dtype", torch.float32)
    model = model.to(device=device, dtype=dtype).eval().requires_grad_(False)
    run = call or (lambda network, x, timestep: network(x, timestep).sample)
    if prediction == "flow_prediction":
        steps = config.get("num_train_timesteps", 1000)
        low, high = 1 / steps, FLOW_LARGEST
        bounds = low / (1 - low), high / (1 - high)
        function = _flow(model, run, steps)
    else:
        table = vp_sigmas(scheduler)
        bounds = float(table[0]), float(table[-1])
        function = _variance_preserving(model, run, prediction, table, rounding)
    options.setdefault("fingerprint", _fingerprint(model, prediction, call is None, rounding))
    if vae is not None:
        options.setdefault("decoder", _decoder(vae.to(device=device, dtype=dtype).eval().requires_grad_(False)))
    return TorchDenoiser(function, shape or _shape(model), *bounds, **options)


def from_edm(
    path: str | Path, trust_pickle: bool = False, labels: torch.Tensor | None = None, **options: Any
) -> TorchDenoiser:
    """A network file of NVLabs' EDM: a pickle, whose "ema" is called as network(x, σ, labels).

    Loading a pickle runs whatever code its author put there, with your rights: it can read your files and send them
    away. It is refused unless ``trust_pickle=True`` says that you know where the file comes from.

    Args:
        path: the .pkl file.
        trust_pickle: run the file's code.
        labels: (1, classes) one-hot class labels for a conditional network.
        options: of `TorchDenoiser`.

    Raises:
        ValueError: if the file is missing or not trusted, or holds no network.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if not trust_pickle:
        raise ValueError(
            f"{path} is a pickle, which can run any code when loaded: pass trust_pickle=True if you trust its author"
        )
    import pickle

    with path.open("rb") as file:
        content = pickle.load(file)
    network = content.get("ema") if isinstance(content, dict) else content
    if not callable(network) or not hasattr(network, "img_resolution"):
        raise ValueError(f"{path} holds no EDM network under 'ema'")
    device = torch.device(options.get("device", "cpu"))
    network = network.to(device).eval().requires_grad_(False)
    shape = (network.img_channels, network.img_resolution, network.img_resolution)

    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return network(x, sigma, None if labels is None else labels.to(device).expand(len(x), -1))

    low = max(float(getattr(network, "sigma_min", 0.0)), 0.002)
    high = min(float(getattr(network, "sigma_max", np.inf)), 80.0)
    options.setdefault("fingerprint", hashlib.sha256(path.read_bytes()).hexdigest())
    return TorchDenoiser(function, shape, low, high, **options)


def _variance_preserving(model: Any, run: Call, prediction: str, table: np.ndarray, rounding: bool) -> Callable:
    logs = torch.from_numpy(np.log(table))

    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        timestep = _interpolated(torch.log(sigma.double()), logs.to(sigma.device))
        if rounding:
            timestep = timestep.round().long()
        wide = sigma.reshape(-1, *[1] * (x.ndim - 1))
        total = (1 + wide**2).sqrt()
        output = run(model, x / total, timestep.to(torch.long if rounding else x.dtype))
        if prediction == "epsilon":
            return x - wide * output
        if prediction == "v_prediction":
            return x / total**2 - wide / total * output
        return output

    return function


def _flow(model: Any, run: Call, steps: int) -> Callable:
    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        time = sigma / (1 + sigma)  # s, of z = (1 − s) x₀ + s ε
        wide = time.reshape(-1, *[1] * (x.ndim - 1))
        z = (1 - wide) * x
        return z - wide * run(model, z, time * steps)  # the velocity is ε − x₀

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
        return lambda x: vae.decode(x / scaling + shift).sample
    mean, std = (torch.tensor(values).reshape(-1, 1, 1).to(vae.device, vae.dtype) for values in (mean, std))
    return lambda x: vae.decode(x * std / scaling + mean).sample


def _parts(model: Any, scheduler: Any) -> tuple[Any, Any, Any]:
    """The network, the scheduler, and the VAE or None, from whatever was given."""
    if isinstance(model, str | Path):
        model = _load(Path(model))
    if isinstance(scheduler, str | Path):
        scheduler = _load(Path(scheduler))
    if hasattr(model, "scheduler"):  # a pipeline
        network = getattr(model, "unet", None) or getattr(model, "transformer", None)
        if network is None:
            raise ValueError(f"{type(model).__name__} has neither a unet nor a transformer: pass its denoising network")
        return network, scheduler or model.scheduler, getattr(model, "vae", None) or getattr(model, "vqvae", None)
    if scheduler is None:
        raise ValueError("a model alone does not say what it predicts at which noise: pass its scheduler too")
    return model, scheduler, None


def _load(folder: Path) -> Any:
    import diffusers

    found = [name for name in ("model_index.json", "config.json", "scheduler_config.json") if (folder / name).is_file()]
    if not found:
        raise ValueError(f"{folder} is no folder of a diffusers model: it has no model_index.json or config.json")
    if (folder / "config.json").is_file() or "model_index.json" in found:
        _refuse_pickles(folder)
    try:
        name = json.loads((folder / found[0]).read_text(encoding="utf-8"))["_class_name"]
        kind = getattr(diffusers, name)
        options = {} if found[0] == "scheduler_config.json" else {"use_safetensors": True}
        return kind.from_pretrained(str(folder), local_files_only=True, **options)
    except (KeyError, AttributeError, json.JSONDecodeError):
        raise ValueError(f"{folder / found[0]} names no class of diffusers {diffusers.__version__}") from None
    except Exception as error:  # diffusers and safetensors raise many kinds for missing and truncated weights
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"cannot load {folder}: {first}") from None


def _refuse_pickles(folder: Path) -> None:
    pickles = [file for file in folder.rglob("*") if file.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]
    if pickles and not list(folder.rglob("*.safetensors")):
        raise ValueError(
            f"{folder} has pickled weights only ({pickles[0].name}), which can run any code when they are loaded: "
            f"convert them to safetensors (save_pretrained does) where you trust them"
        )


def _shape(model: Any) -> tuple[int, ...]:
    config = model.config
    channels, size = config.get("in_channels"), config.get("sample_size")
    if channels is None or size is None:
        raise ValueError(
            f"{type(model).__name__} does not say its latents' shape: pass shape=(channels, height, width)"
        )
    height, width = (size, size) if isinstance(size, int) else size
    return (channels, height, width)


def _fingerprint(model: Any, prediction: str, plain: bool, rounding: bool) -> str | None:
    """Hash of the weights; None where a callable conditions the model in a way that no hash can see."""
    if not plain:
        return None
    digest = hashlib.sha256(f"{prediction} {rounding}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
