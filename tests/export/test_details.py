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
from helpers.pipelines import ARGUMENTS, PICTURE, diffusers, tiny

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


def called(pipe: Any, scheduler: Any, **arguments: Any) -> tuple[np.ndarray, torch.Tensor]:
    """The timesteps that the network is called at in a run without guidance, and the last latents."""
    network = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    seen: list[float] = []

    def note(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(float(torch.as_tensor(named["timestep"] if "timestep" in named else given[1]).reshape(-1)[0]))

    hook = network.register_forward_pre_hook(note, with_kwargs=True)
    pipe.scheduler = scheduler
    generator = torch.Generator().manual_seed(0)
    arguments = {"prompt": "red", "guidance_scale": 0.0, "output_type": "latent", "generator": generator} | arguments
    found = pipe(**arguments).images
    hook.remove()
    return np.array(seen), found


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
    [*EXACT, *ROUNDED, ("DDIMScheduler", {"set_alpha_to_one": False}), ("PNDMScheduler", {"skip_prk_steps": True})],
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


@pytest.mark.parametrize(("strength", "left"), [(1.0, 6), (0.5, 3), (0.34, 2)])
@pytest.mark.parametrize("ours", [False, True])
def test_strength_leaves_the_last_levels(strength: float, left: int, ours: bool) -> None:
    source, schedule = diffusers.EulerDiscreteScheduler(**VP), Schedule(LEVELS, "test")
    scheduler = ARTScheduler.from_sampler(Sampler.of(schedule, "euler"), source) if ours else source
    arguments = {"num_inference_steps": K} if ours else diffusers_arguments(schedule, source)
    image = {"image": PICTURE, "strength": strength}
    seen, latents = called(tiny("img2img"), scheduler, **image, **arguments)
    expected = fractional_timesteps(np.array(LEVELS[:-1]), vp_sigmas(source))
    np.testing.assert_allclose(seen, expected[-left:], rtol=1e-4)
    assert torch.isfinite(latents).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ours", [False, True])
def test_half_precision_at_the_largest_levels(dtype: torch.dtype, ours: bool) -> None:
    """Zero terminal SNR, where σ is 2254. Without ARTScheduler the latents are σ times as large."""
    source = diffusers.EulerDiscreteScheduler(**VP, rescale_betas_zero_snr=True, prediction_type="v_prediction")
    schedule = Schedule((float(vp_sigmas(source)[-1]), 100.0, *LEVELS), "test")
    scheduler = ARTScheduler.from_sampler(Sampler.of(schedule, "euler"), source) if ours else source
    arguments = {"num_inference_steps": K + 2} if ours else diffusers_arguments(schedule, source)
    size = {"height": 8, "width": 8, "guidance_scale": ARGUMENTS["sd2"]["guidance_scale"]}
    _, precise = called(tiny("sd2"), scheduler, **size, **arguments)
    _, half = called(tiny("sd2").to(dtype), scheduler, **size, **arguments)
    assert half.dtype == dtype
    assert torch.isfinite(half).all()
    assert (half.float() - precise).abs().max() < 0.1 * precise.abs().max()
