"""A run that several files look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_gym.agents.cli.main import main


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    arguments = [
        "train",
        "--env",
        "ARTDiffusion-Mixture1D-v0",
        "--algo",
        "cma",
        "--num-steps",
        "5",
        "--out",
        str(folder),
    ]
    assert main([*arguments, "--no-progress"]) == 0
    return folder
