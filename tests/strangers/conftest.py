"""A canary, a folder of a model, and a folder of a run, which tests copy and break."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from art_gym.agents.cli.main import main
from helpers.strangers import Canary


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    return Canary(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run of PPO."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    arguments = ["train", "--env", "ARTDiffusion-Gaussian1D-v0", "--num-steps", "2", "--timesteps", "64"]
    hyperparams = [
        "--hyperparams",
        "warm_start",
        "0",
        "n_steps",
        "4",
        "num_envs",
        "4",
        "n_epochs",
        "1",
        "batch_size",
        "16",
    ]
    assert main([*arguments, *hyperparams, "--population", "4", "--no-progress", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run_folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("tensorboard")))


@pytest.fixture
def model_folder(tiny_model: Callable[[], Any], tmp_path: Path) -> Path:
    """A pipeline of diffusers."""
    import diffusers

    folder = tmp_path / "model"
    diffusers.DDPMPipeline(tiny_model(), diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder
