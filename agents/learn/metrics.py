"""Metrics of samples: a user's own, by the name of a function, and LPIPS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np

from art_gym.denoisers.base import Denoiser, visible

from .lpips import NAME as LPIPS
from .lpips import Lpips, load_lpips
from .trial import Noises

Own = Callable[[np.ndarray, list[str]], Sequence[float] | np.ndarray]  # (images, their prompts) to scores
Metric = Own | Lpips


def load_metrics(names: Sequence[str]) -> dict[str, Metric]:
    """The metrics of names such as "my_module:score", and "lpips".

    Raises:
        ValueError: if a name has another form, there is no such module or function, or LPIPS lacks its weights.
    """
    found: dict[str, Metric] = {}
    for name in names:
        if name == LPIPS:
            found[name] = load_lpips()
            continue
        module, _, function = name.partition(":")
        if not module or not function:
            raise ValueError(f"a metric is module:function, a function of images and prompts, or {LPIPS}, got {name!r}")
        try:
            metric = getattr(import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"cannot find the metric {name} ({error}): put {module}.py in this folder") from None
        found[function] = metric
    return found


def scores(name: str, metric: Metric, model: Denoiser, noises: Noises, samples: np.ndarray) -> np.ndarray:
    """The (B,) scores of samples: of their images, or of the latents of a model without a decoder.

    Args:
        name, metric: what scores.
        model: decodes, and says the prompts of noises.
        noises: with their precise endpoints.
        samples: (B, *shape) what was sampled from them.

    Raises:
        ValueError: if the metric does not give a finite number for each sample.
    """
    images, start = _images(samples, model), noises.start
    if isinstance(metric, Lpips):
        # Pipelines end with images in [0, 1], and networks in [−1, 1].
        return metric(images, _images(noises.endpoints, model), 0.0 if hasattr(model, "loop") else -1.0)
    labels = getattr(model, "labels", None)
    prompts = [""] * len(start) if labels is None else [labels[i] for i in model.condition(start)]  # type: ignore[attr-defined]
    found = np.asarray(metric(images, prompts), np.float64)
    if found.shape != (len(start),) or not np.isfinite(found).all():
        raise ValueError(
            f"the metric {name} must give {len(start)} finite scores, one for each image, got shape {found.shape}"
        )
    return found


def _images(latents: np.ndarray, model: Denoiser) -> np.ndarray:
    """The (B, *image shape) images of (B, *shape) latents, or what is visible of them."""
    shown = visible(latents, model)
    decoded = model.decode(shown) if getattr(model, "decode", None) is not None else shown  # type: ignore[attr-defined]
    return np.asarray(decoded)
