"""Grids that others have published for a model: that of its own scheduler, and the table of Align Your Steps.

This module does not import diffusers at its top.
"""

from __future__ import annotations

import re

import numpy as np

from art_gym.denoisers.base import RANGE_TOLERANCE, Denoiser
from art_gym.schedules.schedule import resampled

AYS = "Align Your Steps"
TABLES = {  # names in diffusers' `AysSchedules`, by the network of a pipeline
    "StableDiffusion": "StableDiffusionSigmas",
    "StableDiffusionXL": "StableDiffusionXLSigmas",
    "StableVideoDiffusion": "StableDiffusionVideoSigmas",
}
SAME_NETWORK = re.compile(rf"({'|'.join(TABLES)})(?:ControlNet)?(?:PAG)?(?:Img2Img|Inpaint)?Pipeline")


def published(denoiser: Denoiser, num_steps: int) -> dict[str, np.ndarray]:
    """Return the (K+1,) levels by name that are known for a model of diffusers. Empty for other models."""
    own = getattr(denoiser, "own_levels", None)
    found = {} if own is None else {f"own schedule ({name})": levels for name, levels in own(num_steps).items()}
    levels = align_your_steps(denoiser, num_steps)
    return found if levels is None else {**found, AYS: levels}


def align_your_steps(denoiser: Denoiser, num_steps: int) -> np.ndarray | None:
    """Return the (K+1,) levels of Align Your Steps (arXiv:2404.14507), resampled as its authors do.

    There are tables for the pipelines of Stable Diffusion 1, SDXL and Stable Video Diffusion. None for other models,
    and where sampling begins below the table, as image-to-image does.
    """
    known = SAME_NETWORK.fullmatch(getattr(denoiser, "pipeline", ""))
    if known is None or (known[1] == "StableDiffusion" and denoiser.prediction.kind != "epsilon"):  # type: ignore[attr-defined]
        return None  # v-prediction is Stable Diffusion 2's
    from diffusers.schedulers.scheduling_utils import AysSchedules

    levels = np.array(AysSchedules[TABLES[known[1]]], np.float64)
    if levels[0] > denoiser.sigma_max * (1 + RANGE_TOLERANCE):
        return None
    levels[0] = min(levels[0], denoiser.sigma_max)
    return resampled(levels, num_steps)
