"""A run that several files look at."""

from __future__ import annotations

import pytest

from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.runs.folder import Run
from art_gym.agents.runs.outcome import Outcome
from art_gym.agents.training.run import train

EULER = {"solver": "euler", "num_steps": 5, "observation": ["time"]}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Outcome]:
    config = TrainConfig("ARTDiffusion-Gaussian1D-v0", "ppo", env=EULER, n_timesteps=24_000)
    run = Run(tmp_path_factory.mktemp("runs") / "ppo")
    return run, train(config, run, resume=False, progress=False)
