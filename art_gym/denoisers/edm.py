"""Network files of NVLabs' EDM as denoisers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_gym.denoisers.model_calls import fingerprint_of, hashed, network_call, noise_range, tried
from art_gym.denoisers.torch_denoiser import TorchDenoiser, first_line, usable_device

EDM_RANGE = (0.002, 80.0)  # of EDM's own sampler; its networks are trained on more


def from_edm(
    path: str | Path,
    trust_pickle: bool = False,
    labels: torch.Tensor | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    **options: Any,
) -> TorchDenoiser:
    """Load a network file of NVLabs' EDM. It is a pickle, and its "ema" entry is called as network(x, σ, labels).

    Loading a pickle runs any code that its author put there, with your rights. The code can read your files and send
    them away. So the file is refused unless you pass ``trust_pickle=True``. Do that only if you trust its source.

    Args:
        path: the .pkl file.
        trust_pickle: run the file's code.
        labels: (1, classes) one-hot class labels for a conditional network.
        sigma_min, sigma_max: part of the network's noise range, by default the range of EDM's own sampler.
        options: arguments of `TorchDenoiser`.

    Raises:
        ValueError: if the file is missing, not trusted or cannot be loaded, if it holds no network or one that cannot
            run, or if the noise range goes beyond the network's.
    """
    path = Path(path)
    if not path.is_file():  # missing, or a folder, a pipe or a device
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
        denoised: torch.Tensor = model(x, sigma, None if labels is None else labels.to(device).expand(len(x), -1))
        return denoised

    trained = float(getattr(model, "sigma_min", 0.0)), float(getattr(model, "sigma_max", np.inf))
    low, high = max(trained[0], EDM_RANGE[0]), min(trained[1], EDM_RANGE[1])
    bounds = noise_range(low if sigma_min is None else sigma_min, high if sigma_max is None else sigma_max, *trained)
    facts = (hashlib.sha256(path.read_bytes()).hexdigest(), bounds, *hashed(options))
    options.setdefault("fingerprint", fingerprint_of(facts, {} if labels is None else {"labels": labels}))
    function = network_call(run, type(model).__name__, torch.float32)  # it casts its half-precision layers itself
    return tried(TorchDenoiser(function, shape, *bounds, **options))
