"""Models of other libraries as denoisers: diffusers (ε, v, x₀ and flow prediction) and NVLabs' EDM files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_gym.denoisers.base import RANGE_TOLERANCE
from art_gym.denoisers.torch_denoiser import Function, TorchDenoiser, first_line, of_shape, usable_device
from art_gym.denoisers.variance_preserving import flow_sigmas, knows_all_levels, vp_sigmas

PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")
IMAGES_STD, LATENTS_STD = 0.5, 1.0  # of images in [−1, 1]; what latent-diffusion models scale theirs to
EDM_RANGE = (0.002, 80.0)  # of EDM's own sampler; its networks are trained beyond
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
    config = _check_scheduler(scheduler, "scheduler is").config
    known = "flow_prediction" if type(scheduler).__name__.startswith("FlowMatch") else config.get("prediction_type")
    prediction = prediction_type or _check_prediction(known)
    all_levels = knows_all_levels(scheduler)
    if rounding and all_levels:
        raise ValueError("rounding=True is for models of discrete timesteps, and this one knows all: leave it out")
    device = usable_device(options.get("device", "cpu"))
    model = _placed(model, device, dtype)
    run = call or (lambda network, x, timestep: network(x, timestep).sample)
    network = _network(lambda x, timestep: run(model, x, timestep), type(model).__name__, dtype)
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
    bounds = _range(sigma_min, sigma_max, float(table[0]), float(table[-1]))
    if options.get("data_std") is None:
        options["data_std"] = IMAGES_STD if vae is None else LATENTS_STD
    if call is None:  # no hash can see what a callable conditions the model on
        facts = (prediction, rounding, str(dtype), table.tolist(), bounds, *_hashed(options))
        options.setdefault("fingerprint", _fingerprint(facts, model.state_dict()))
    if vae is not None:
        options.setdefault("decoder", _decoder(_placed(vae, device, dtype)))
    return _tried(TorchDenoiser(function, shape or _shape(model), *bounds, **options))


def from_edm(
    path: str | Path,
    trust_pickle: bool = False,
    labels: torch.Tensor | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    **options: Any,
) -> TorchDenoiser:
    """A network file of NVLabs' EDM: a pickle, whose "ema" is called as network(x, σ, labels).

    Loading a pickle runs whatever code its author put there, with your rights: it can read your files and send them
    away. It is refused unless ``trust_pickle=True`` says that you know where the file comes from.

    Args:
        path: the .pkl file.
        trust_pickle: run the file's code.
        labels: (1, classes) one-hot class labels for a conditional network.
        sigma_min, sigma_max: a part of the network's noise range; by default that of EDM's own sampler.
        options: of `TorchDenoiser`.

    Raises:
        ValueError: if the file is missing, not trusted or cannot be loaded, holds no network or one that cannot be run,
            or for a noise range beyond the network's.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if not trust_pickle:
        raise ValueError(
            f"{path} is a pickle, which can run any code when loaded: pass trust_pickle=True if you trust its author"
        )
    import pickle

    try:
        with path.open("rb") as file:
            content = pickle.load(file)
    except Exception as error:  # a pickle's code can raise anything
        raise ValueError(
            f"cannot load {path} ({first_line(error)}): download it again if it is truncated; NVLabs' files need "
            f"dnnlib and torch_utils of their repository on PYTHONPATH"
        ) from None
    found = content.get("ema") if isinstance(content, dict) else content
    if not callable(found) or not hasattr(found, "img_resolution"):
        raise ValueError(f"{path} holds no EDM network under 'ema'")
    device = usable_device(options.get("device", "cpu"))
    model = found.to(device).eval().requires_grad_(False)
    shape = (model.img_channels, model.img_resolution, model.img_resolution)

    def run(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return model(x, sigma, None if labels is None else labels.to(device).expand(len(x), -1))

    trained = float(getattr(model, "sigma_min", 0.0)), float(getattr(model, "sigma_max", np.inf))
    low, high = max(trained[0], EDM_RANGE[0]), min(trained[1], EDM_RANGE[1])
    bounds = _range(low if sigma_min is None else sigma_min, high if sigma_max is None else sigma_max, *trained)
    facts = (hashlib.sha256(path.read_bytes()).hexdigest(), bounds, *_hashed(options))
    options.setdefault("fingerprint", _fingerprint(facts, {} if labels is None else {"labels": labels}))
    function = _network(run, type(model).__name__, torch.float32)  # which of its layers run in half, it says itself
    return _tried(TorchDenoiser(function, shape, *bounds, **options))


def _check_prediction(name: Any) -> str:
    """Return a prediction type, or raise a ValueError if it is none that is known here."""
    if name not in PREDICTIONS:
        raise ValueError(
            f"unknown prediction type {name!r}: choose one of {', '.join(PREDICTIONS)} with prediction_type= "
            f"(--prediction-type)"
        )
    return name


def _network(run: Function, name: str, dtype: torch.dtype) -> Function:
    """A network in a precision of its own, between float32 tensors, whose errors and odd shapes are ValueErrors."""

    def network(x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        try:
            output = run(x.to(dtype), noise)
        except torch.cuda.OutOfMemoryError:  # TorchDenoiser tries a smaller batch
            raise
        except Exception as error:  # of the model's code, or of the caller's
            raise ValueError(
                f"{name} cannot be run on latents of shape {tuple(x.shape)} ({first_line(error)}): a model with "
                f"conditioning needs call= in Python (see examples/text_to_image.py); else check shape= (--shape), "
                f"dtype and max_batch"
            ) from error
        return of_shape(x, output).float()

    return network


def _tried(denoiser: TorchDenoiser) -> TorchDenoiser:
    """Call a denoiser once, so that a model which cannot be used as given is refused here and now."""
    middle = (denoiser.sigma_min * denoiser.sigma_max) ** 0.5
    denoiser(np.zeros((1, *denoiser.shape), np.float32), np.full(1, middle, np.float32))
    return denoiser


def _range(sigma_min: float | None, sigma_max: float | None, low: float, high: float) -> tuple[float, float]:
    """A noise range, by default from low to high; a ValueError if it goes beyond."""
    for name, value in (("sigma_min", sigma_min), ("sigma_max", sigma_max)):
        if value is not None and not low * (1 - RANGE_TOLERANCE) <= value <= high * (1 + RANGE_TOLERANCE):
            raise ValueError(f"{name}={value:g} is outside the range that the model knows, {low:.6g} to {high:.6g}")
    return low if sigma_min is None else float(sigma_min), high if sigma_max is None else float(sigma_max)


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


def load_scheduler(folder: Path) -> Any:
    """The scheduler that was saved in a folder, or with the pipeline there. Raises a ValueError where there is none."""
    inside = folder / "scheduler"
    found = load_folder(inside if inside.is_dir() else folder)
    return _check_scheduler(found, f"{folder} holds")


def _check_scheduler(found: Any, whose: str) -> Any:
    """Return a scheduler, or raise a ValueError if it is something else."""
    if not (hasattr(found, "set_timesteps") and hasattr(found, "config")):
        raise ValueError(
            f"{whose} a {type(found).__name__}, which is no scheduler of diffusers: give one, or a folder with a "
            f"scheduler_config.json or a pipeline"
        )
    return found


def load_folder(folder: Path, variant: str | None = None, dtype: torch.dtype = torch.float32) -> Any:
    """The pipeline, model or scheduler of diffusers that was saved in a folder; nothing is downloaded, no pickle read.

    Args:
        folder: with a model_index.json, config.json or scheduler_config.json.
        variant: of the weight files, such as "fp16".
        dtype: of the weights in memory.

    Raises:
        ValueError: for a folder that holds none of them, or whose files are missing, truncated, pickled, of another
            variant, or without some of the weights.
    """
    import diffusers

    found = [name for name in ("model_index.json", "config.json", "scheduler_config.json") if (folder / name).is_file()]
    if not found:
        raise ValueError(f"{folder} is no folder of a diffusers model: it has no model_index.json or config.json")
    options: dict[str, Any] = {}
    if found[0] != "scheduler_config.json":
        _refuse_pickles(folder)
        options = {"use_safetensors": True, "variant": variant, "torch_dtype": dtype}
    try:
        kind = getattr(diffusers, json.loads((folder / found[0]).read_text(encoding="utf-8"))["_class_name"])
    except (KeyError, AttributeError, TypeError, ValueError):  # the last for what is no JSON
        raise ValueError(f"{folder / found[0]} names no class of diffusers {diffusers.__version__}") from None
    try:
        with _quiet(diffusers.utils.logging):
            return _loaded(kind, folder, {"local_files_only": True, **options})
    except Exception as error:  # diffusers and safetensors raise many kinds for missing and truncated weights
        remedy = "download it again, or save the model again with save_pretrained(safe_serialization=True)"
        if found[0] == "model_index.json" and "were passed" in str(error):  # parts of the pipeline are not there
            remedy = "name the folder of its network, and its scheduler's with scheduler= (--scheduler)"
        if (saved := _variants(folder)) and variant not in saved:
            names = " and ".join(f"as variant {name!r}" if name else "without a variant" for name in saved)
            choice = "leave variant (--variant) out" if saved == [None] else "choose with variant= (--variant)"
            remedy = f"its weights were saved {names}: {choice}"
        raise ValueError(f"cannot load {folder} ({first_line(error)}): {remedy}") from None


def _loaded(kind: Any, folder: Path, options: dict[str, Any]) -> Any:
    """What diffusers makes of a folder. Raises a ValueError for weights that are not there: they would be random."""
    import diffusers

    if issubclass(kind, diffusers.ModelMixin):
        model, report = kind.from_pretrained(str(folder), output_loading_info=True, **options)
        if missing := report["missing_keys"]:
            raise ValueError(f"{len(missing)} of its weights are not in the files, the first {sorted(missing)[0]}")
        return model
    parts = {}
    if issubclass(kind, diffusers.DiffusionPipeline):
        for name, entry in json.loads((folder / "model_index.json").read_text(encoding="utf-8")).items():
            theirs = isinstance(entry, list) and entry[0] == "diffusers"
            of = getattr(diffusers, str(entry[1]), None) if theirs else None
            if isinstance(of, type) and issubclass(of, diffusers.ModelMixin) and (part := folder / name).is_dir():
                variant = options["variant"] if options["variant"] in _variants(part) else None  # as diffusers chooses
                parts[name] = _loaded(of, part, {**options, "variant": variant})
    return kind.from_pretrained(str(folder), **options, **parts)


def _variants(folder: Path) -> list[str | None]:
    """The variants of a folder's weight files; None stands for plain ones."""
    pattern = r"(?:diffusion_pytorch_)?model(?:\.(\w+))?(?:-\d+-of-\d+)?\.safetensors"  # as model libraries write them
    matches = [re.fullmatch(pattern, file.name) for file in folder.rglob("*.safetensors")]
    return sorted({match[1] for match in matches if match}, key=str)


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Without the messages and progress bars of diffusers, which are as they were afterwards."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)  # errors are raised as well
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _refuse_pickles(folder: Path) -> None:
    pickles = [file for file in folder.rglob("*") if file.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]
    if pickles and not list(folder.rglob("*.safetensors")):
        raise ValueError(
            f"{folder} has pickled weights only ({pickles[0].name}), which can run any code when they are loaded: "
            f"convert them to safetensors (save_pretrained does) where you trust them"
        )


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


def _hashed(options: dict[str, Any]) -> tuple[Any, ...]:
    """Those options of `TorchDenoiser` that change precise endpoints."""
    return options.get("data_std"), options.get("autocast", False)


def _fingerprint(facts: tuple, tensors: dict[str, torch.Tensor]) -> str:
    """Hash of all that D depends on: settings by their repr, and weights."""
    digest = hashlib.sha256(repr(facts).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
