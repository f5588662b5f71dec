"""`art-gym export diffusers` with a saved scheduler."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.export.diffusers import diffusers_arguments
from art_gym.schedules import Schedule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers


LEVELS = Schedule((14.0, 5.5, 2.0, 0.7, 0.2, 0.05, 0.0), "test")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        ("EulerDiscreteScheduler", {}, "sigmas"),
        ("DPMSolverMultistepScheduler", {}, "timesteps"),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, "sigmas"),
        ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}, "sigmas"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_command_prints_what_a_saved_scheduler_takes(
    kind: str, options: dict[str, Any], name: str, inside: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scheduler's own folder, or its pipeline's folder."""
    scheduler = getattr(diffusers, kind)(**options)
    schedule = replace(LEVELS, flow=name == "sigmas" and kind != "EulerDiscreteScheduler")
    scheduler.save_pretrained(tmp_path / "scheduler")
    schedule.save(tmp_path / "schedule.json")
    folder = tmp_path if inside else tmp_path / "scheduler"
    assert main(["export", str(tmp_path / "schedule.json"), "--scheduler", str(folder)]) == 0
    arguments = json.loads(capsys.readouterr().out)
    assert list(arguments) == [name]
    np.testing.assert_allclose(arguments[name], diffusers_arguments(schedule, scheduler)[name])


def test_command_refuses_what_does_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_model: Any
) -> None:
    diffusers.DDIMScheduler().save_pretrained(tmp_path / "ddim")
    tiny_model().save_pretrained(tmp_path / "unet")
    LEVELS.save(tmp_path / "schedule.json")
    for more, message in (
        (["--scheduler", str(tmp_path / "ddim"), "--format", "csv"], "leave out --format csv"),
        (["--scheduler", str(tmp_path / "ddim")], "DDIMScheduler takes no custom levels"),
        (["--scheduler", str(tmp_path / "unet")], "unet holds a UNet2DModel, which is no scheduler of diffusers"),
        (["--scheduler", str(tmp_path / "none")], "none is no folder of a diffusers model"),
    ):
        assert main(["export", str(tmp_path / "schedule.json"), *more]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
