"""ComfyUI's nodes, against stand-ins for the parts of ComfyUI that they touch: they sample as `follow` does."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from art_gym.samplers.coefficients import Coefficients, follow
from art_gym.samplers.sampler import Sampler
from art_gym.schedules import Schedule
from art_gym.tasks.registry import get_task

RING = get_task("ring_2d")
SIGMAS = (80.0, 11.0, 3.0, 0.9, 0.2, 0.0)
TOLD = (0.9, 1.1, 1.0, 0.95, 1.2)
WEIGHTS = ((), (0.4,), (0.3, -0.1), (0.5, -0.2, 0.05), (-0.1, 0.02))
OURS = Sampler(SIGMAS, TOLD, WEIGHTS, "test")
NOISE = torch.randn(16, *RING.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
exact = partial(torch.testing.assert_close, rtol=0, atol=1e-12)


def scaled(flow: bool, sigma: float, x: torch.Tensor) -> torch.Tensor:
    return x / (1 + sigma) if flow else x


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("sampler", [OURS, Sampler.of(SIGMAS, "dpmpp_2m"), Sampler.of(SIGMAS, "euler")])
def test_what_a_sampler_saves_samples_as_follow_does(comfyui: Any, sampler: Sampler, flow: bool) -> None:
    sampler = Sampler(sampler.sigmas, sampler.told, sampler.weights, "test", flow=flow)
    sampler.save(comfyui.files / "ours.json")
    found, sigmas = comfyui.node("ARTSampler").load("ours.json")
    levels = torch.tensor(SIGMAS, dtype=torch.float64)
    torch.testing.assert_close(sigmas, (levels / (1 + levels) if flow else levels).float(), rtol=0, atol=0)
    start = scaled(flow, 80.0, 80 * NOISE).requires_grad_()
    x = found.sampler_function(comfyui.model(flow), start, sigmas, disable=True)
    assert not x.requires_grad
    exact(x, follow(RING, sampler.coefficients(), 80 * NOISE))
    x = found.sample(comfyui.model(flow), sigmas, NOISE.float(), torch.zeros_like(NOISE).float())
    expected = follow(RING, sampler.coefficients(), 80 * NOISE).float()
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize(("denoise", "first"), [(0.6, 2), (0.4, 3), (0.01, 4), (0.9, 1)])
def test_denoise_takes_the_last_steps_without_the_memory_before(
    comfyui: Any, flow: bool, denoise: float, first: int
) -> None:
    OURS.save(comfyui.files / "ours.json")
    model, latents = comfyui.model(flow), 0.3 * torch.ones_like(NOISE)
    found, sigmas = comfyui.node("ARTSampler").load("ours.json", denoise, model)
    numbers = OURS.coefficients()
    tail = Coefficients(numbers.sigmas[first:], numbers.told[first:], numbers.weights[first:])
    expected = follow(RING, tail, latents + SIGMAS[first] * NOISE)
    torch.testing.assert_close(found.sample(model, sigmas, NOISE, latents), expected, rtol=0, atol=1e-6)
    assert model.calls == len(sigmas) - 1 == 5 - first
    assert len(comfyui.node("ARTSampler").load("ours.json", 0.0)[1]) == 0


@pytest.mark.parametrize("flow", [False, True])
def test_split_sigmas_sample_one_after_the_other(comfyui: Any, flow: bool) -> None:
    """As with two models, the second of which gets the latents of the first and no noise."""
    sampler = Sampler(SIGMAS, TOLD, ((),) * 5, "no memory to lose", flow=flow)
    sampler.save(comfyui.files / "ours.json")
    found, sigmas = comfyui.node("ARTSampler").load("ours.json")
    half = found.sample(comfyui.model(flow), sigmas[:3], NOISE, torch.zeros_like(NOISE))
    whole = found.sample(comfyui.model(flow), sigmas[2:], torch.zeros_like(NOISE), half)
    expected = follow(RING, sampler.coefficients(), 80 * NOISE)
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-5)


def test_the_model_settles_the_scale_of_the_levels(comfyui: Any) -> None:
    """Cosmos Predict2 is a flow model, but ComfyUI samples it in σ. Files of before `flow` say False."""
    Sampler(SIGMAS, TOLD, WEIGHTS, "test", flow=True).save(comfyui.files / "flow.json")
    OURS.save(comfyui.files / "ours.json")
    expected = torch.tensor(SIGMAS, dtype=torch.float64)
    in_sigma = comfyui.node("ARTSampler").load("flow.json", 1.0, comfyui.model(False))[1]
    in_s = comfyui.node("ARTSampler").load("ours.json", 1.0, comfyui.model(True))[1]
    assert torch.equal(in_sigma, expected.float())
    assert torch.equal(in_s, (expected / (1 + expected)).float())


def test_the_callback_sees_the_latents_of_the_model(comfyui: Any) -> None:
    OURS.save(comfyui.files / "ours.json")
    found, sigmas = comfyui.node("ARTSampler").load("ours.json", 1.0, comfyui.model(True))
    seen: list[dict[str, Any]] = []
    start = scaled(True, 80.0, 80 * NOISE)
    found.sampler_function(comfyui.model(True), start, sigmas, callback=seen.append, disable=True)
    exact(seen[0]["x"], start)
    assert [step["i"] for step in seen] == [0, 1, 2, 3, 4]
    told = [c * sigma for c, sigma in zip(TOLD, SIGMAS, strict=False)]
    exact(
        torch.stack([step["sigma_hat"] for step in seen]), torch.tensor([s / (1 + s) for s in told]).double(), atol=1e-7
    )
    exact(seen[0]["denoised"], RING(80 * NOISE, torch.full((16,), told[0], dtype=torch.float64)))


@pytest.mark.parametrize(
    ("flow", "sigmas", "message"),
    [
        (False, (80.0, 11.0, 3.001, 0.9, 0.2, 0.0), "these sigmas are not consecutive levels of ours.json"),
        (False, (80.0, 3.0, 0.0), "not consecutive levels of ours.json, which has 5 steps: connect the sigmas of its"),
        (False, tuple(s / (1 + s) for s in SIGMAS), "of ours.json are s = σ/[^,]*, but this model takes σ: connect"),
        (
            True,
            SIGMAS,
            "of ours.json are σ, but this model takes s = σ/[^,]*: connect the model to the node ART Sampler",
        ),
    ],
)
def test_other_sigmas_are_refused(comfyui: Any, flow: bool, sigmas: tuple[float, ...], message: str) -> None:
    OURS.save(comfyui.files / "ours.json")
    function = comfyui.node("ARTSampler").load("ours.json")[0].sampler_function
    with pytest.raises(ValueError, match=message):
        function(comfyui.model(flow), NOISE, torch.tensor(sigmas), disable=True)


def test_told_levels_outside_the_noise_range_are_refused(comfyui: Any) -> None:
    Sampler((80.0, 2.0, 0.0), (1.2, 1.0), ((), ()), "test").save(comfyui.files / "ours.json")
    found, sigmas = comfyui.node("ARTSampler").load("ours.json")
    message = (
        "ours.json tells the model the level 96, which is outside its noise range from 0.01 to 80: learn a sampler"
    )
    with pytest.raises(ValueError, match=message):
        found.sampler_function(comfyui.model(False), NOISE, sigmas, disable=True)
    found.sampler_function(comfyui.model(False), NOISE, sigmas[1:], disable=True)  # told 2


@pytest.mark.parametrize("flow", [False, True])
def test_a_schedule_gives_its_levels(comfyui: Any, flow: bool) -> None:
    schedule = Schedule(SIGMAS, "test", flow=flow)
    schedule.save(comfyui.files / "levels.json")
    line = [float(level) for level in schedule.to_comfyui().split(", ")]  # what ManualSigmas reads
    assert torch.equal(comfyui.node("ARTSchedule").load("levels.json")[0], torch.tensor(line))
    assert torch.equal(comfyui.node("ARTSchedule").load("levels.json", 0.4)[0], torch.tensor(line[-3:]))
    Schedule((80.0, 1.0, 1.0 - 1e-12, 0.0), "test").save(comfyui.files / "levels.json")
    with pytest.raises(
        ValueError, match=r"float32, and in it the levels must be finite and decrease, got \[80.0, 1.0, 1"
    ):
        comfyui.node("ARTSchedule").load("levels.json")


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_uneven_batches(comfyui: Any, flow: bool, dtype: torch.dtype) -> None:
    Sampler(SIGMAS, TOLD, WEIGHTS, "test", flow=flow).save(comfyui.files / "ours.json")
    found, sigmas = comfyui.node("ARTSampler").load("ours.json")
    precise, half, *apart = (
        found.sampler_function(comfyui.model(flow), scaled(flow, 80.0, 80 * noise), sigmas, disable=True)
        for noise in (NOISE, NOISE.to(dtype), NOISE[:5], NOISE[5:])
    )
    assert half.dtype == dtype
    assert (half - precise).abs().max() < 0.1
    exact(torch.cat(apart), precise)
