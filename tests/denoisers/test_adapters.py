"""Models of diffusers: our sampling of a grid equals diffusers' own schedulers, and bad input is named."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch

from art_gym.denoisers import from_callable, from_diffusers
from art_gym.denoisers.variance_preserving import vp_sigmas
from art_gym.export.diffusers import diffusers_arguments
from art_gym.schedules import Schedule
from art_gym.solvers.loop import integrate
from helpers.diffusion import CLOSE, SIZE, run, start

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_euler_with_our_sigmas(prediction: str, tiny_model: Any) -> None:
    model = tiny_model()
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type=prediction)
    levels = Schedule((14.0, 5.5, 2.0, 0.7, 0.2, 0.05, 0.0), "test")
    scheduler.set_timesteps(**diffusers_arguments(levels, scheduler))
    np.testing.assert_allclose(scheduler.sigmas, levels.sigmas, rtol=1e-6)
    theirs = run(scheduler, model, start(14.0))
    ours = integrate(from_diffusers(model, scheduler, data_std=1.0), levels.sigmas, start(14.0), "euler")
    torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_multistep_with_our_timesteps(prediction: str, tiny_model: Any) -> None:
    model = tiny_model()
    scheduler = diffusers.DPMSolverMultistepScheduler(prediction_type=prediction, final_sigmas_type="zero")
    wanted = Schedule((14.0, 5.5, 2.0, 0.7, 0.2, 0.05, 0.0), "test")
    arguments = diffusers_arguments(wanted, scheduler)
    scheduler.set_timesteps(**arguments)
    assert scheduler.timesteps.tolist() == arguments["timesteps"]
    levels = np.append(vp_sigmas(scheduler)[arguments["timesteps"]], 0.0)
    np.testing.assert_allclose(levels[:-1], wanted.sigmas[:-1], rtol=0.02)  # of the grid of 1000
    noise = start(float(levels[0]))
    theirs = run(scheduler, model, noise / float(1 + levels[0] ** 2) ** 0.5)
    for rounding in (False, True):
        ours = integrate(from_diffusers(model, scheduler, rounding=rounding), levels, noise, "dpmpp_2m")
        torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_heun_with_our_timesteps(prediction: str, tiny_model: Any) -> None:
    model = tiny_model()
    scheduler = diffusers.HeunDiscreteScheduler(prediction_type=prediction)
    arguments = diffusers_arguments(Schedule((14.0, 2.0, 0.7, 0.1, 0.0), "test"), scheduler)
    scheduler.set_timesteps(**arguments)
    levels = np.append(vp_sigmas(scheduler)[arguments["timesteps"]], 0.0)
    noise = start(float(levels[0]))
    theirs = run(scheduler, model, noise)
    ours = integrate(from_diffusers(model, scheduler), levels, noise, "heun")
    torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_rounding_is_that_of_diffusers(prediction: str, tiny_model: Any) -> None:
    """On levels between the timesteps, the network is called at the nearest timestep."""
    model = tiny_model()
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type=prediction, use_karras_sigmas=True, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(7)
    levels = scheduler.sigmas.double().numpy()
    noise = start(float(levels[0]))
    theirs = run(scheduler, model, noise / float(1 + levels[0] ** 2) ** 0.5)
    ours, between = (
        integrate(from_diffusers(model, scheduler, rounding=rounding), levels, noise, "dpmpp_2m")
        for rounding in (True, False)
    )
    torch.testing.assert_close(ours, theirs, **CLOSE)
    assert not torch.allclose(between, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("karras", [False, True])
def test_a_model_of_all_levels(karras: bool, tiny_model: Any) -> None:
    """Like Stable Video Diffusion's, it is called at ¼ log σ, on the range of its scheduler."""
    model = tiny_model()
    options = {"timestep_type": "continuous", "sigma_min": 0.002, "sigma_max": 700.0, "use_karras_sigmas": karras}
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type="v_prediction", **options)
    denoiser = from_diffusers(model, scheduler)
    assert (denoiser.sigma_min, denoiser.sigma_max) == (0.002, 700.0)
    if karras:
        scheduler.set_timesteps(7)
    else:
        levels = Schedule((600.0, 50.0, 5.5, 0.7, 0.05, 0.004, 0.0), "test", solver="euler")
        scheduler.set_timesteps(**diffusers_arguments(levels, scheduler))
        np.testing.assert_allclose(scheduler.sigmas, levels.sigmas, rtol=1e-6)
    used = scheduler.sigmas.double().numpy()
    noise = start(float(used[0]))
    torch.testing.assert_close(integrate(denoiser, used, noise, "euler"), run(scheduler, model, noise), **CLOSE)
    with pytest.raises(ValueError, match=r"rounding=True is for models of discrete timesteps.*: leave it out"):
        from_diffusers(model, scheduler, rounding=True)
    ends = diffusers.EulerDiscreteScheduler(prediction_type="v_prediction", timestep_type="continuous")
    with pytest.raises(ValueError, match="timestep_type='continuous' without sigma_min and sigma_max"):
        from_diffusers(model, ends)


def test_autocast_around_a_call_is_not_asked_for(tiny_model: Any) -> None:
    denoiser = from_diffusers(tiny_model(), diffusers.DDPMScheduler())
    x, sigma = start(2.0), torch.full((3,), 2.0)
    expected = denoiser(x, sigma)
    with torch.autocast("cpu"):
        torch.testing.assert_close(denoiser(x, sigma), expected, rtol=0, atol=0)
    cast = from_diffusers(tiny_model(), diffusers.DDPMScheduler(), autocast=True)(x, sigma)
    assert not torch.equal(cast, expected)
    assert torch.allclose(cast, expected, atol=0.1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_matching_with_shift(shift: float, tiny_model: Any) -> None:
    model = tiny_model()
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    levels = Schedule((50.0, 5.0, 1.0, 0.3, 0.05, 0.0), "test", flow=True)
    scheduler.set_timesteps(**diffusers_arguments(levels, scheduler))
    used = np.array(levels.sigmas) / (1 + np.array(levels.sigmas))
    np.testing.assert_allclose(scheduler.sigmas, used, rtol=1e-5)
    noise = start(50.0)
    theirs = run(scheduler, model, noise / 51.0)  # z = (1 − s) x
    ours = integrate(from_diffusers(model, scheduler), levels.sigmas, noise, "euler")
    torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_flow_matching_with_multistep(tiny_model: Any) -> None:
    """Diffusers' multistep solver on a flow has its own levels. Our solver on them does the same, rounded or not."""
    model = tiny_model()
    scheduler = diffusers.DPMSolverMultistepScheduler(
        use_flow_sigmas=True, flow_shift=2.0, prediction_type="flow_prediction", final_sigmas_type="zero"
    )
    scheduler.set_timesteps(7)
    times = scheduler.sigmas.double().numpy()
    levels = times / (1 - times)
    noise = start(float(levels[0]))
    for rounding in (True, False):
        if not rounding:
            scheduler.set_timesteps(7)
            scheduler.timesteps = scheduler.sigmas[:-1] * 1000  # set here, because it truncates them to whole ones
        theirs = run(scheduler, model, noise * float(1 - times[0]))
        ours = integrate(from_diffusers(model, scheduler, rounding=rounding), levels, noise, "dpmpp_2m")
        torch.testing.assert_close(ours, theirs, **CLOSE)


def test_batches_are_split_and_types_kept() -> None:
    sizes: list[int] = []

    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        assert x.dtype == torch.float32
        return x / (1 + sigma[:, None] ** 2)

    denoiser = from_callable(function, (2,), max_batch=4)
    x, sigma = np.ones((10, 2)), np.arange(1.0, 11.0)
    found = denoiser(x, sigma)
    assert sizes == [4, 4, 2]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, x / (1 + sigma[:, None] ** 2), rtol=1e-6)
    wanted = torch.ones(3, 2, requires_grad=True)
    denoiser(wanted, torch.ones(3)).sum().backward()
    assert wanted.grad is not None


def test_a_device_without_the_memory_gets_smaller_batches(tiny_model: Any) -> None:
    model = tiny_model()
    # Batches have the same size, because other sizes round differently on some processors.
    whole = from_diffusers(model, diffusers.DDPMScheduler())
    expected = np.concatenate([whole(np.ones((count, *SIZE)), np.ones(count)) for count in (2, 2, 1)])
    sizes: list[int] = []

    def short_of_memory(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > room:
            raise torch.cuda.OutOfMemoryError("out of memory. Tried to allocate 20.00 GiB.")

    denoiser = from_diffusers(model, diffusers.DDPMScheduler(), max_batch=8)
    model.register_forward_pre_hook(short_of_memory)
    room = 2
    np.testing.assert_allclose(denoiser(np.ones((5, *SIZE)), np.ones(5)), expected, atol=1e-6)
    assert sizes == [5, 2, 2, 1]
    room = 0
    with pytest.raises(ValueError, match=r"cpu has too little memory for latents .*, 1 at a .*20\.00 GiB.*smaller"):
        denoiser(np.ones((5, *SIZE)), np.ones(5))


@pytest.mark.filterwarnings("ignore")
def test_goes_to_environments_in_other_processes(tiny_model: Any) -> None:
    """By cloudpickle, like Gymnasium and stable-baselines3, because plain pickle cannot handle inner functions."""
    denoiser = from_diffusers(tiny_model(), diffusers.DDPMScheduler(), max_memory=1e-3)
    again = pickle.loads(cloudpickle.dumps(denoiser))
    x, sigma = start(3.0), torch.full((3,), 3.0)
    torch.testing.assert_close(again(x, sigma), denoiser(x, sigma), rtol=0, atol=0)
    assert again.fingerprint == denoiser.fingerprint
