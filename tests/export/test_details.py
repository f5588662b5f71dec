"""What every export makes a whole pipeline do: the levels that its network is called at, in every setting."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.denoisers.variance_preserving import fractional_timesteps, vp_sigmas
from art_gym.export.diffusers import diffusers_arguments
from art_gym.samplers import Sampler
from art_gym.schedules import Schedule
from helpers.diffusion import called
from helpers.pipelines import diffusers, tiny

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    from art_gym.export import ARTScheduler

LEVELS = (14.0, 5.5, 2.0, 0.7, 0.2, 0.06, 0.0)
K = len(LEVELS) - 1
VP = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACINGS = [{"timestep_spacing": name} for name in ("leading", "trailing", "linspace")]
EXACT = [("EulerDiscreteScheduler", options) for options in ({}, *SPACINGS, {"steps_offset": 1})]
ROUNDED = [
    (f"{kind}Scheduler", options)
    for kind in ("DPMSolverMultistep", "HeunDiscrete")
    for options in ({}, *SPACINGS, {"steps_offset": 1})
]
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
SHIFTED = [
    *(("FlowMatchEulerDiscreteScheduler", {"shift": shift}) for shift in (1.0, 3.0)),
    *(("UniPCMultistepScheduler", {**FLOW, "flow_shift": shift}) for shift in (1.0, 3.0)),
]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("kind", "options"), [*EXACT, *ROUNDED])
def test_variance_preserving_levels(kind: str, options: dict[str, Any]) -> None:
    """K calls at our levels, whatever the spacing of its own. The last one is at the last positive level."""
    scheduler = getattr(diffusers, kind)(**VP, **options)
    arguments = diffusers_arguments(Schedule(LEVELS, "test"), scheduler)
    seen, latents = called(tiny("sd1"), scheduler, height=8, width=8, **arguments)
    expected = fractional_timesteps(np.array(LEVELS[:-1]), vp_sigmas(scheduler))
    if kind.startswith("Heun"):  # it calls twice a step, but once in the last one
        expected = np.append(expected[0], np.repeat(expected[1:], 2))
    if (kind, options) not in EXACT:
        expected = np.rint(expected)
    np.testing.assert_allclose(seen, expected, rtol=1e-4)
    assert float(scheduler.sigmas[-1]) == 0
    assert torch.isfinite(latents).all()


@pytest.mark.parametrize(("kind", "options"), SHIFTED)
def test_levels_of_flow_models_are_shifted_once(kind: str, options: dict[str, Any]) -> None:
    scheduler = getattr(diffusers, kind)(**options)
    arguments = diffusers_arguments(Schedule(LEVELS, "test", flow=True), scheduler)
    seen, _ = called(tiny("sd3"), scheduler, height=8, width=8, **arguments)
    levels = np.array(LEVELS[:-1])
    expected = 1000 * levels / (1 + levels)
    np.testing.assert_allclose(seen, expected, atol=1.0 if kind.startswith("UniPC") else 0.01)  # UniPC's are whole
    np.testing.assert_allclose(scheduler.sigmas, np.append(expected / 1000, 0.0), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *EXACT,
        *ROUNDED,
        ("DDIMScheduler", {"set_alpha_to_one": False}),
        ("PNDMScheduler", {"skip_prk_steps": True}),
        ("DPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min"}),
    ],
)
def test_art_scheduler_calls_at_its_levels_whatever_it_replaces(kind: str, options: dict[str, Any]) -> None:
    clips = {"clip_sample": False} if kind == "DDIMScheduler" else {}
    source = getattr(diffusers, kind)(**VP, **options, **clips)
    scheduler = ARTScheduler.from_sampler(Sampler.of(LEVELS, "dpmpp_2m"), source)
    seen, _ = called(tiny("sd1"), scheduler, height=8, width=8, num_inference_steps=K)
    np.testing.assert_allclose(seen, fractional_timesteps(np.array(LEVELS[:-1]), vp_sigmas(source)), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"shift": 3.0}, {"use_dynamic_shifting": True}, {"shift_terminal": 0.1, "use_dynamic_shifting": True}],
)
def test_art_scheduler_ignores_shifts(options: dict[str, Any]) -> None:
    source = diffusers.FlowMatchEulerDiscreteScheduler(**options)
    scheduler = ARTScheduler.from_sampler(Sampler.of(Schedule(LEVELS, "test", flow=True), "dpmpp_2m"), source)
    seen, _ = called(tiny("sd3"), scheduler, height=8, width=8, num_inference_steps=K)
    told = np.append(LEVELS[0] - 1, LEVELS[1:-1])  # the first level is that of plain noise
    np.testing.assert_allclose(seen, 1000 * told / (1 + told), rtol=1e-4)
