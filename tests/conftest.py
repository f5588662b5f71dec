"""Fixtures for all tests: one cache folder for the whole run, so that each noise bank is computed once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Set before torch's import. The networks are tiny, and two threads in each of two processes would only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep precise endpoints apart from the user's cache. The processes of one run share them."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = tmp_path_factory.getbasetemp().parent / "art_gym_cache"
    else:
        folder = tmp_path_factory.mktemp("art_gym_cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ART_GYM_CACHE", str(folder))
        patch.setenv("MPLBACKEND", "Agg")
        yield folder


@pytest.fixture
def tiny_model() -> Callable[[], Any]:
    """Makes a small diffusers UNet2DModel, always with the same weights."""

    def make() -> Any:
        import diffusers
        import torch

        torch.manual_seed(0)
        return diffusers.UNet2DModel(
            sample_size=8,
            in_channels=2,
            out_channels=2,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        ).eval()

    return make
