"""`art-gym train --resume --out` needs no more than the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.runs import Run


def test_a_folder_alone_is_enough_to_resume(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = ["--out", str(tmp_path / "run"), "--no-progress"]
    options = ["--env", "gaussian_1d", "--algo", "cma", "--num-steps", "3", "--timesteps", "4000"]
    assert main(["train", *options, *out]) == 0
    before = Run(tmp_path / "run").config()
    assert main(["train", "--resume", *out]) == 0
    assert Run(tmp_path / "run").config() == before
    assert main(["train", "--resume", "--seed", "1", *out]) == 2  # another run
    assert "holds a run with another configuration" in capsys.readouterr().err
