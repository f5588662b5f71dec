"""What goes wrong elsewhere, over every export: image-to-image, half precision, uneven batches, the last level."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from art_gym.denoisers.variance_preserving import fractional_timesteps, vp_sigmas
from art_gym.export.diffusers import diffusers_arguments
from art_gym.samplers import Sampler
from art_gym.schedules import Schedule
from helpers.diffusion import called
from helpers.pipelines import PICTURE, SCALED, diffusers, tiny
from helpers.schedulers import all_names, schedulers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    from art_gym.export import ARTScheduler, k_diffusion_sampler

LEVELS = (5.5, 2.0, 0.7, 0.2, 0.06, 0.0)  # after a first level, the largest of the model
K = len(LEVELS)
V = {**SCALED, "prediction_type": "v_prediction"}
ZERO_SNR = {**V, "rescale_betas_zero_snr": True}  # σ_max is 2254
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
pytestmark = pytest.mark.filterwarnings("ignore")


class Export(NamedTuple):
    """A scheduler with a schedule, and what the pipeline's call takes with it."""

    flow: bool
    make: Callable[[], Any]
    ours: bool = False  # whether ARTScheduler takes its place

    @property
    def schedule(self) -> Schedule:
        largest = 999.0 if self.flow else float(vp_sigmas(self.make())[-1])
        return Schedule((largest, *LEVELS), "test", flow=self.flow)

    def ready(self) -> tuple[Any, dict[str, Any]]:
        source = self.make()
        if self.ours:
            return ARTScheduler.from_sampler(Sampler.of(self.schedule, "dpmpp_2m"), source), {"num_inference_steps": K}
        return source, diffusers_arguments(self.schedule, source)

    def pipe(self, image: bool = False) -> Any:
        return tiny(("flow_img2img" if image else "sd3") if self.flow else "img2img" if image else "sd2")


EXPORTS = {
    "Euler": Export(False, lambda: diffusers.EulerDiscreteScheduler(**ZERO_SNR)),
    "2M": Export(False, lambda: diffusers.DPMSolverMultistepScheduler(**ZERO_SNR)),
    "Heun": Export(False, lambda: diffusers.HeunDiscreteScheduler(**V)),
    "ARTScheduler": Export(False, lambda: diffusers.EulerDiscreteScheduler(**ZERO_SNR), ours=True),
    "Euler of a flow": Export(True, lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)),
    "UniPC of a flow": Export(True, lambda: diffusers.UniPCMultistepScheduler(**FLOW)),
    "ARTScheduler of a flow": Export(True, lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), ours=True),
}


def expected_calls(name: str, scheduler: Any) -> np.ndarray:
    """Timesteps at which the network is to be called in a whole run, a first call at plain noise included."""
    export = EXPORTS[name]
    levels = np.array(export.schedule.sigmas[:-1])
    if export.flow:
        if export.ours:
            levels[0] -= 1  # that of plain noise
        return 1000 * levels / (1 + levels)
    found = fractional_timesteps(levels, vp_sigmas(export.make()))
    if name in ("2M", "Heun"):
        found = np.rint(found)
    return np.append(found[0], np.repeat(found[1:], 2)) if name == "Heun" else found


@pytest.mark.parametrize("name", [name for name in EXPORTS if name != "UniPC of a flow"])  # no image for it in SD3
@pytest.mark.parametrize("strength", [1.0, 0.9, 0.5, 0.34])
def test_strength_leaves_the_last_levels(name: str, strength: float) -> None:
    export = EXPORTS[name]
    scheduler, arguments = export.ready()
    size = {"height": 8, "width": 8} if export.flow else {}
    image = {"image": PICTURE, "strength": strength, **size}
    seen, latents = called(export.pipe(image=True), scheduler, **image, **arguments)
    expected = expected_calls(name, scheduler)
    if export.flow and export.ours:
        expected[0] = 999.0  # an image with noise, and not plain noise
    # SD3 rounds the steps up. With Heun diffusers takes the 2K − 1 calls for steps and then leaves out twice as many.
    left = K - int(K - K * strength) if export.flow else int(K * strength)
    calls = 2 * int((2 * K - 1) * strength) - (2 * K - 1) if name == "Heun" else left
    np.testing.assert_allclose(seen, expected[len(expected) - max(calls, 0) :], atol=0.05)
    assert torch.isfinite(latents).all()


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_at_the_largest_levels(name: str, dtype: torch.dtype) -> None:
    """In some schedulers the latents are σ times as large, and in ARTScheduler they never are."""
    export = EXPORTS[name]
    scheduler, arguments = export.ready()
    size = {"height": 8, "width": 8, "guidance_scale": 1.0}
    seen, precise = called(export.pipe(), scheduler, **size, **arguments)
    again, half = called(export.pipe().to(dtype), scheduler, **size, **arguments)
    assert half.dtype == dtype
    assert len(seen) == len(again)
    assert torch.isfinite(half).all()
    assert (half.float() - precise).abs().max() < 0.1 * precise.abs().max()


@pytest.mark.parametrize("name", EXPORTS)
def test_uneven_batches(name: str) -> None:
    """Three images at once, then one, then two: each is the same as in another batch."""
    export = EXPORTS[name]
    scheduler, arguments = export.ready()
    pipe, prompts = export.pipe(), ["red", "green", "blue"]

    def images(*which: int) -> torch.Tensor:
        generator = [torch.Generator().manual_seed(5 + i) for i in which]
        asked = {"prompt": [prompts[i] for i in which], "generator": generator, "height": 8, "width": 8}
        return called(pipe, scheduler, **asked, **arguments)[1]

    together = images(0, 1, 2)
    apart = torch.cat([images(1), images(2, 0)])[[2, 0, 1]]
    assert (together - apart).abs().max() < 1e-5 * together.abs().max()
    assert (together[0] - together[1]).abs().max() > 0.01 * together.abs().max()


TAKING = [
    name for name in all_names() if "final_sigmas_type" in inspect.signature(getattr(schedulers, name)).parameters
]


@pytest.mark.parametrize("name", TAKING)
def test_a_last_level_above_0_is_refused(name: str) -> None:
    """Whatever else a scheduler is refused for, none is accepted."""
    with pytest.raises(ValueError, match=name):
        diffusers_arguments(Schedule((14.0, *LEVELS), "test"), getattr(schedulers, name)(final_sigmas_type="sigma_min"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_k_diffusion(dtype: torch.dtype) -> None:
    """Half precision at a large level, and an uneven batch."""

    def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append(sigma.tolist())
        return torch.tanh(x / (1 + sigma[:, None].to(x) ** 2) ** 0.5)

    seen: list[list[float]] = []
    sample = k_diffusion_sampler(Sampler.of((2254.0, *LEVELS), "dpmpp_2m"))
    noise = 2254 * torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    precise = sample(model, noise, disable=True)
    assert [row[0] for row in seen] == pytest.approx([2254.0, *LEVELS[:-1]])
    half = sample(model, noise.to(dtype), disable=True)
    assert half.dtype == dtype
    assert (half.float() - precise).abs().max() < 0.05
    apart = torch.cat([sample(model, part, disable=True) for part in (noise[:3], noise[3:])])
    assert torch.equal(apart, precise)
