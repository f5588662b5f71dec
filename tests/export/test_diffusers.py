"""The arguments make a diffusers scheduler use our levels. If it would use others, the error says why."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.denoisers.variance_preserving import vp_sigmas
from art_gym.export.diffusers import diffusers_arguments
from art_gym.schedules import Schedule
from helpers.schedulers import DOCUMENT, document, used

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of diffusers and what it imports
    import diffusers

LEVELS = Schedule((14.0, 5.5, 2.0, 0.7, 0.2, 0.05, 0.0), "test")
FLOW = replace(LEVELS, flow=True)
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def test_every_scheduler_is_in_the_table() -> None:
    """The table of the documentation is what the schedulers of the installed diffusers do."""
    found = DOCUMENT.read_text(encoding="utf-8")
    assert found == document(), "write the page again with python tests/helpers/schedulers.py"


@pytest.mark.parametrize("shift", [1.0, 2.5])
def test_unipc_uses_our_levels_on_flow_models(shift: float) -> None:
    options = {"use_flow_sigmas": True, "flow_shift": shift, "prediction_type": "flow_prediction"}
    scheduler = diffusers.UniPCMultistepScheduler(**options)
    scheduler.set_timesteps(**diffusers_arguments(FLOW, scheduler))
    np.testing.assert_allclose(used(scheduler), LEVELS.sigmas, rtol=1e-5)
    with pytest.raises(ValueError, match=r"takes no custom levels: sample with pipe\.scheduler = ARTScheduler"):
        diffusers_arguments(LEVELS, diffusers.UniPCMultistepScheduler())


@pytest.mark.parametrize(
    ("kind", "options", "levels"),
    [
        ("DDIMScheduler", {}, LEVELS.sigmas),
        ("UniPCMultistepScheduler", {}, LEVELS.sigmas),
        ("HeliosScheduler", {}, LEVELS.sigmas),
        ("HeunDiscreteScheduler", {"use_karras_sigmas": True}, LEVELS.sigmas),
        ("DDPMScheduler", {}, (500.0, 1.0, 0.0)),
        ("FlowMatchEulerDiscreteScheduler", {}, (1e6, 1.0, 0.0)),
    ],
)
def test_what_is_refused_is_not_warned_of(kind: str, options: dict[str, Any], levels: tuple[float, ...]) -> None:
    """A warning about another solver would wrongly suggest keeping a scheduler without custom levels."""
    scheduler = getattr(diffusers, kind)(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of diffusers with this numpy
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(ValueError, match=r"custom levels|outside the noise range"):
            diffusers_arguments(Schedule(levels, "test", solver="dpmpp_2m"), scheduler)


@pytest.mark.parametrize(
    ("kind", "options", "solver", "said"),
    [
        ("DPMSolverMultistepScheduler", {"thresholding": True}, "dpmpp_2m", "when thresholding is set"),
        ("HeunDiscreteScheduler", {"clip_sample": True}, "heun", "when clip_sample is set"),
        (
            "DDPMScheduler",
            {"clip_sample": False},
            "dpmpp_2m",
            "draws noise at every step: its gain may be lost, so sample with pipe.scheduler = ARTS",
        ),
    ],
)
def test_what_samples_otherwise_is_said_with_a_remedy(kind: str, options: dict, solver: str, said: str) -> None:
    scheduler = getattr(diffusers, kind)(**options)
    with pytest.warns(UserWarning, match=said):
        diffusers_arguments(replace(LEVELS, solver=solver), scheduler)


def test_a_clip_that_a_scheduler_does_not_know_is_none() -> None:
    """The option comes from a config that another scheduler used. A real one is named beside the solver."""
    config = diffusers.DDPMScheduler(clip_sample=True).config
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diffusers_arguments(
            replace(LEVELS, solver="dpmpp_2m"), diffusers.DPMSolverMultistepScheduler.from_config(config)
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        diffusers_arguments(replace(LEVELS, solver="euler"), diffusers.HeunDiscreteScheduler.from_config(config))
    assert ["when clip_sample is set" in str(warning.message) for warning in said] == [False, True]


def test_warnings_point_to_the_caller() -> None:
    schedule = Schedule((10.0, 1.0, 0.9999, 0.2, 0.0), "test", solver="euler")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        diffusers_arguments(schedule, diffusers.DPMSolverMultistepScheduler())
    assert [warning.filename for warning in said] == [__file__, __file__]


def test_a_shift_that_was_set_later_is_undone() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_shift(4.0)
    scheduler.set_timesteps(**diffusers_arguments(FLOW, scheduler))
    np.testing.assert_allclose(used(scheduler), LEVELS.sigmas, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:the schedule was found without noise")
@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "DDPMScheduler"])
def test_zero_terminal_snr_has_the_same_levels_in_every_scheduler(kind: str, betas: str) -> None:
    """A schedule learned with the training scheduler goes to sampling schedulers, from the largest level on."""
    options = {"rescale_betas_zero_snr": True, "beta_schedule": betas, "prediction_type": "v_prediction"}
    learned, scheduler = vp_sigmas(diffusers.DDPMScheduler(**options)), getattr(diffusers, kind)(**options)
    table = vp_sigmas(scheduler)
    np.testing.assert_allclose(table, learned, rtol=1e-6)
    assert (np.diff(table) > 0).all()
    assert table[-1] < 4096
    levels = Schedule((float(learned[-1]), 10.0, 1.0, 0.1, 0.0), "test")
    scheduler.set_timesteps(**diffusers_arguments(levels, scheduler))
    np.testing.assert_allclose(used(scheduler), levels.sigmas, rtol=0.02)
    assert scheduler.timesteps[0] == len(table) - 1  # where the model is called


def test_timesteps_that_fall_together() -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler()
    with pytest.warns(UserWarning, match="1 of 4 levels fall on the timestep of a neighbour"):
        arguments = diffusers_arguments(Schedule((10.0, 1.0, 0.9999, 0.2, 0.0), "test"), scheduler)
    assert len(arguments["timesteps"]) == 3


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("EulerDiscreteScheduler", {"use_karras_sigmas": True}, "when use_karras_sigmas is set"),
        ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, "when invert_sigmas is set"),
        ("FlowMatchEulerDiscreteScheduler", {"shift_terminal": 0.1}, "when shift_terminal is set"),
        ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}, "when use_dynamic_shifting is set"),
        ("DPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min"}, "does not end at level 0: sample with"),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "no custom levels for flow models"),
        ("HeliosScheduler", {}, "no custom levels for flow models"),
    ],
)
def test_settings_that_change_the_levels(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        diffusers_arguments(LEVELS, getattr(diffusers, kind)(**options))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("found_for", "kind", "options", "its"),
    [
        ("euler", "EulerDiscreteScheduler", {}, "euler"),
        ("dpmpp_2m", "EulerDiscreteScheduler", {}, "euler"),
        ("euler", "FlowMatchEulerDiscreteScheduler", {}, "euler"),
        ("euler", "FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}, "noise"),
        ("heun", "HeunDiscreteScheduler", {}, "heun"),
        ("dpmpp_2m", "DPMSolverMultistepScheduler", {}, "dpmpp_2m"),
        ("dpmpp_2m", "DPMSolverMultistepScheduler", {"solver_order": 3}, "another solver"),
        ("dpmpp_2m", "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, "noise"),
        ("euler", "DDPMScheduler", {"clip_sample": False}, "noise"),
    ],
)
def test_another_solver_is_said(found_for: str, kind: str, options: dict[str, Any], its: str) -> None:
    schedule = Schedule((14.0, 1.0, 0.1, 0.0), "test", solver=found_for, flow=kind.startswith("Flow"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")  # of diffusers with this numpy
        warnings.simplefilter("always", UserWarning)
        diffusers_arguments(schedule, getattr(diffusers, kind)(**options))
    expected = [] if its == found_for else [f"the schedule was found for {found_for}, but {kind} with these settings"]
    does = "draws noise at every step" if its == "noise" else f"samples with {its}"
    assert [str(warning.message).partition(f" {does}: ")[0] for warning in said] == expected
    assert all(str(warning.message).count("\n") == 0 for warning in said)


@pytest.mark.parametrize(
    ("kind", "options", "its"),
    [
        ("EulerDiscreteScheduler", {}, False),
        ("DPMSolverMultistepScheduler", {}, False),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, True),
        ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}, True),
    ],
)
@pytest.mark.parametrize("flow", [False, True])
def test_another_kind_of_model_is_said(
    kind: str, options: dict[str, Any], its: bool, flow: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The levels are still ours. The command line prints one line on stderr."""
    schedule, scheduler = replace(LEVELS, flow=flow), getattr(diffusers, kind)(**options)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")  # of diffusers with this numpy
        warnings.simplefilter("always", UserWarning)
        scheduler.set_timesteps(**diffusers_arguments(schedule, scheduler))
    np.testing.assert_allclose(used(scheduler), LEVELS.sigmas, rtol=0.02)
    found = "was found for" if flow else "does not say (flow=True) that it was found for"
    expected = [] if flow == its else [f"the schedule {found} a flow model, but {kind} with these settings samples "]
    assert [str(warning.message).partition("samples ")[0] + "samples " for warning in said] == expected
    assert all(warning.filename == __file__ for warning in said)
    scheduler.save_pretrained(tmp_path / "scheduler")
    schedule.save(tmp_path / "schedule.json")
    assert main(["export", str(tmp_path / "schedule.json"), "--scheduler", str(tmp_path / "scheduler")]) == 0
    assert capsys.readouterr().err == "".join(f"art-gym: {warning.message}\n" for warning in said)


@pytest.mark.parametrize("levels", [(1e6, 1.0, 0.0), (10.0, 1e-6, 0.0)])
def test_levels_beyond_a_flow(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"is outside the noise range of .*'s flow, 0\.001\d* to 999"):
        diffusers_arguments(Schedule(levels, "test"), diffusers.FlowMatchEulerDiscreteScheduler())


@pytest.mark.parametrize("levels", [(500.0, 1.0, 0.0), (10.0, 0.001, 0.0)])
def test_levels_beyond_the_table(levels: tuple[float, ...]) -> None:
    for kind in (diffusers.EulerDiscreteScheduler, diffusers.DPMSolverMultistepScheduler):
        with pytest.raises(ValueError, match=r"is outside the noise range of .* table, 0\.01\d* to 157"):
            diffusers_arguments(Schedule(levels, "test"), kind())


@pytest.mark.parametrize(
    ("solver", "kind", "options", "remedy"),
    [
        (
            "dpmpp_2m",
            "LCMScheduler",
            {},
            "so sample with pipe.scheduler = ARTScheduler.from_sampler(schedule, pipe.sched",
        ),
        ("heun", "DDPMScheduler", {"clip_sample": False}, "so make a HeunDiscreteScheduler from its config"),
        ("rk4", "DDPMScheduler", {"clip_sample": False}, "so learn for euler or dpmpp_2m"),
        ("heun", "FlowMatchEulerDiscreteScheduler", {}, "so learn for euler or dpmpp_2m"),
    ],
)
def test_the_remedy_runs_the_solver(solver: str, kind: str, options: dict[str, Any], remedy: str) -> None:
    schedule = replace(LEVELS, solver=solver, flow=kind.startswith("Flow"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")  # of diffusers with this numpy
        warnings.simplefilter("always", UserWarning)
        diffusers_arguments(schedule, getattr(diffusers, kind)(**options))
    assert remedy in str(said[0].message)
