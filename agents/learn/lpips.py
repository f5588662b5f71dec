"""LPIPS of samples and precise images, by torchmetrics, where its weights are at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

NAME = "lpips"
SMALLEST = 64  # pixels a side: smaller images are enlarged, because the network's layers need some
BATCH = 16
FETCH = "python -c \"import torchvision; torchvision.models.alexnet(weights='DEFAULT')\""


class Lpips:
    """The LPIPS distance (arXiv:1801.03924) of each image from its precise one, with AlexNet. 0 is the same image.

    Args:
        distance: maps two tensors (B, 3, H, W) in [−1, 1] to (B,) distances.
    """

    def __init__(self, distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self.distance = distance

    def __call__(self, images: np.ndarray, precise: np.ndarray, lowest: float) -> np.ndarray:
        """Return (B,) distances.

        Args:
            images, precise: (B, 1 or 3, H, W).
            lowest: value of black, 0 or −1. White is 1.

        Raises:
            ValueError: for what is no image.
        """
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"--metric {NAME} is for images of 1 or 3 channels, got shape {images.shape[1:]}")
        parts = range(0, len(images), BATCH)
        with torch.no_grad():
            found = [self.distance(*(_ready(x[i : i + BATCH], lowest) for x in (images, precise))) for i in parts]
        return torch.cat([part.reshape(-1) for part in found]).double().numpy()


def load_lpips() -> Lpips:
    """Return LPIPS with the weights in torch's folder. Nothing is downloaded.

    Raises:
        ValueError: without torchmetrics or torchvision, or without these weights.
    """
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
        from torchvision.models import AlexNet_Weights
    except Exception as error:  # a torchvision of another torch raises other errors
        raise ValueError(
            f"--metric {NAME} needs torchmetrics and torchvision ({type(error).__name__}): pip install "
            f"'torchmetrics[image]'"
        ) from None
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(AlexNet_Weights.DEFAULT.url).name
    if not file.is_file():
        raise ValueError(f"--metric {NAME} needs AlexNet's weights in {file}: fetch them once with {FETCH}")
    try:
        torch.load(file, weights_only=True, map_location="cpu")  # torchvision would run code that is in it
        metric: Any = LearnedPerceptualImagePatchSimilarity(net_type="alex", reduction="none")
    except Exception as error:  # a damaged file raises errors of many kinds
        raise ValueError(
            f"cannot read AlexNet's weights in {file} ({type(error).__name__}): remove it, and fetch it again with "
            f"{FETCH}"
        ) from None
    return Lpips(metric)


def _ready(images: np.ndarray, lowest: float) -> torch.Tensor:
    """(B, 3, H, W) in [−1, 1], with sides of SMALLEST or more."""
    made = torch.from_numpy(np.asarray(images, np.float32)).clamp(lowest, 1.0)
    made = (made - lowest) * 2 / (1 - lowest) - 1
    height, width = made.shape[2:]
    scale = SMALLEST / min(height, width)
    if scale > 1:
        size = [round(height * scale), round(width * scale)]
        made = functional.interpolate(made, size, mode="bilinear", align_corners=False)
    return made.expand(-1, 3, -1, -1)
