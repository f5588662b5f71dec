"""Load pipelines, models and schedulers from diffusers folders, without running code from the folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from art_gym.denoisers.folder_checks import INDEX, check_folder, read_config
from art_gym.denoisers.torch_denoiser import first_line

PACKED = 4  # weights in a byte at most


def load_scheduler(folder: Path) -> Any:
    """Load the scheduler of a scheduler folder or a pipeline folder. Raises a ValueError if there is none."""
    inside = folder / "scheduler"
    found = load_folder(inside if inside.is_dir() else folder)
    return check_scheduler(found, f"{folder} holds")


def check_scheduler(found: Any, whose: str) -> Any:
    """Return a scheduler, or raise a ValueError if it is something else."""
    if not (hasattr(found, "set_timesteps") and hasattr(found, "config")):
        raise ValueError(
            f"{whose} a {type(found).__name__}, which is no scheduler of diffusers: give one, or a folder with a "
            f"scheduler_config.json or a pipeline"
        )
    return found


def load_folder(
    folder: Path,
    variant: str | None = None,
    dtype: torch.dtype = torch.float32,
    trust_remote_code: bool = False,
) -> Any:
    """Load a diffusers pipeline, model or scheduler from a folder, without downloads or pickles.

    Args:
        folder: folder with a model_index.json, config.json or scheduler_config.json.
        variant: variant of the weight files, such as "fp16".
        dtype: dtype of the weights in memory.
        trust_remote_code: let the folder bring classes of its own, whose code runs with your rights.

    Raises:
        ValueError: if the folder has none of these files, as `check_folder` does, or if files are missing, truncated,
            pickled, of another variant, or lack some of the weights.
    """
    import diffusers

    found = [name for name in ("model_index.json", "config.json", "scheduler_config.json") if (folder / name).is_file()]
    if not found:
        raise ValueError(f"{folder} is no folder of a diffusers model: it has no model_index.json or config.json")
    check_folder(folder, trust_remote_code)
    options: dict[str, Any] = {}
    if found[0] != "scheduler_config.json":
        _refuse_pickles(folder)
        options = {"use_safetensors": True, "variant": variant, "torch_dtype": dtype}
    name = read_config(folder / found[0]).get("_class_name")
    kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    if trust_remote_code and not isinstance(kind, type):
        kind = diffusers.DiffusionPipeline if found[0] == INDEX else diffusers.AutoModel
    if not isinstance(kind, type):
        raise ValueError(f"{folder / found[0]} names no class of diffusers {diffusers.__version__}")
    if trust_remote_code and found[0] != "scheduler_config.json":
        options["trust_remote_code"] = True
    try:
        with _quiet(diffusers.utils.logging):
            return _loaded(kind, folder, {"local_files_only": True, **options})
    except Exception as error:  # diffusers and safetensors raise many kinds for missing and truncated weights
        remedy = "download it again, or save the model again with save_pretrained(safe_serialization=True)"
        if found[0] == "model_index.json" and "were passed" in str(error):  # parts of the pipeline are missing
            remedy = "name the folder of its network, and pass its scheduler's folder with scheduler= (--scheduler)"
        if (saved := _variants(folder)) and variant not in saved:
            names = " and ".join(f"as variant {name!r}" if name else "without a variant" for name in saved)
            choice = "leave variant (--variant) out" if saved == [None] else "choose with variant= (--variant)"
            remedy = f"its weights were saved {names}: {choice}"
        raise ValueError(f"cannot load {folder} ({first_line(error)}): {remedy}") from None


def _loaded(kind: Any, folder: Path, options: dict[str, Any]) -> Any:
    """Load a folder with diffusers. Raises a ValueError for missing weights, because diffusers makes them random."""
    import diffusers

    if issubclass(kind, diffusers.ModelMixin):
        _check_weights(kind, folder)
        options.pop("trust_remote_code", None)
        model, report = kind.from_pretrained(str(folder), output_loading_info=True, **options)
        if missing := report["missing_keys"]:
            raise ValueError(f"{len(missing)} of its weights are not in the files, the first {sorted(missing)[0]}")
        return model
    parts = {}
    if issubclass(kind, diffusers.DiffusionPipeline):
        for name, entry in read_config(folder / INDEX).items():
            theirs = isinstance(entry, list) and len(entry) == 2 and entry[0] == "diffusers"
            of = getattr(diffusers, str(entry[1]), None) if theirs else None
            if isinstance(of, type) and issubclass(of, diffusers.ModelMixin) and (part := folder / name).is_dir():
                variant = options["variant"] if options["variant"] in _variants(part) else None  # as diffusers chooses
                parts[name] = _loaded(of, part, {**options, "variant": variant})
    return kind.from_pretrained(str(folder), **options, **parts)


def _check_weights(kind: Any, folder: Path) -> None:
    """Raise a ValueError if the configuration asks for more weights than the files can hold, before they are made."""
    held = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    try:
        with torch.device("meta"):
            empty = kind.from_config(kind.load_config(str(folder), local_files_only=True))
    except Exception:  # then loading fails in the same way and says why
        return
    asked = sum(weights.numel() for weights in empty.parameters())
    if held and asked > PACKED * held:
        raise ValueError(f"its config.json asks for {asked:,} weights, and its files have {held:,} bytes")


def _variants(folder: Path) -> list[str | None]:
    """Return the variants of a folder's weight files. None stands for files without a variant."""
    pattern = r"(?:diffusion_pytorch_)?model(?:\.(\w+))?(?:-\d+-of-\d+)?\.safetensors"  # as model libraries write them
    matches = [re.fullmatch(pattern, file.name) for file in folder.rglob("*.safetensors")]
    return sorted({match[1] for match in matches if match}, key=str)


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Turn off the messages and progress bars of diffusers, and restore them afterwards."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)  # errors are raised anyway
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
            f"convert them to safetensors (save_pretrained does) if you trust them"
        )
