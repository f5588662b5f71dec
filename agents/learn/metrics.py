"""A user's own metrics of samples, by the name of a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np

from art_gym.denoisers.base import Denoiser, visible

Metric = Callable[[np.ndarray, list[str]], Sequence[float] | np.ndarray]  # (images, their prompts) to scores


def load_metrics(names: Sequence[str]) -> dict[str, Metric]:
    """The functions of names such as "my_module:score".

    Raises:
        ValueError: if a name has another form, or there is no such module or function.
    """
    found: dict[str, Metric] = {}
    for name in names:
        module, _, function = name.partition(":")
        if not module or not function:
            raise ValueError(f"a metric is module:function, a function of images and prompts, got {name!r}")
        try:
            metric = getattr(import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"cannot find the metric {name} ({error}): put {module}.py in this folder") from None
        found[function] = metric
    return found


def scores(name: str, metric: Metric, model: Denoiser, start: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """The (B,) scores of samples: of their images, or of the latents of a model without a decoder.

    Args:
        name, metric: what scores.
        model: decodes, and says the prompts of noises.
        start, samples: (B, *shape) noises and what was sampled from them.

    Raises:
        ValueError: if the metric does not give a finite number for each sample.
    """
    shown = visible(samples, model)
    images = model.decode(shown) if getattr(model, "decode", None) is not None else shown  # type: ignore[attr-defined]
    labels = getattr(model, "labels", None)
    prompts = [""] * len(start) if labels is None else [labels[i] for i in model.condition(start)]  # type: ignore[attr-defined]
    found = np.asarray(metric(images, prompts), np.float64)
    if found.shape != (len(start),) or not np.isfinite(found).all():
        raise ValueError(
            f"the metric {name} must give {len(start)} finite scores, one for each image, got shape {found.shape}"
        )
    return found
