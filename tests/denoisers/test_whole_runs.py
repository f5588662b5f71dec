"""Whole runs of a pipeline's loop: single calls put together, and what depends on the number of the step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.denoisers import from_pipeline
from art_gym.denoisers.base import Counted, visible
from art_gym.denoisers.pipelines import PipelineDenoiser
from art_gym.evaluation.sampling import sample
from art_gym.export import ARTScheduler
from art_gym.samplers import Coefficients, Sampler, follow
from art_gym.samplers.plans import Plan, draw
from art_gym.search.gauss_newton import GaussNewton
from art_gym.search.spaces import Grids
from art_gym.solvers.base import get_solver
from helpers.pipelines import ARGUMENTS, inpaint_between_steps, tiny

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
STEPS = 5


def close(found: Any, expected: Any) -> bool:
    """Compare with the largest value, because an untrained network makes some of 50."""
    found, expected = torch.as_tensor(found), torch.as_tensor(expected)
    return bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())


def guidance_off(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Switch guidance off after half of the steps, as diffusers' documentation does."""
    if step + 1 == pipe.num_timesteps // 2:
        pipe._guidance_scale = 0.0
        return {"prompt_embeds": kwargs["prompt_embeds"].chunk(2)[-1]}
    return kwargs


def shrunk(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Change the latents between steps."""
    return {"latents": kwargs["latents"] * (1 - 0.1 * step)}


HALF = {"callback_on_step_end": guidance_off, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
BY_STEP: dict[str, tuple[str, dict[str, Any]]] = {
    "guidance in half of the steps": ("sd1", {**HALF, "guidance_scale": 10.0}),
    "a callback that changes latents": ("sd3", {"callback_on_step_end": shrunk}),
    "a callback beside an image": ("img2img", {"callback_on_step_end": shrunk}),
    "a ControlNet that ends": ("controlnet", {"control_guidance_end": 0.5}),
    "a ControlNet that begins late": ("controlnet", {"control_guidance_start": 0.3}),
    "guidance that skips layers": ("sd3", {"skip_guidance_layers": [0], "skip_layer_guidance_stop": 0.7}),
    "inpainting between steps": ("inpaint", {}),
}


def by_step(name: str, **options: Any) -> PipelineDenoiser:
    kind, arguments = BY_STEP[name]
    pipe = inpaint_between_steps() if kind == "inpaint" else tiny(kind)
    pipe.set_progress_bar_config(disable=True)
    return from_pipeline(pipe, **{**ARGUMENTS[kind], **arguments}, **options)


def noises(denoiser: PipelineDenoiser, count: int = 3) -> np.ndarray:
    """(B, *shape) noises at σ_max, of several prompts in mixed order."""
    noise = np.random.default_rng(3).standard_normal((count, *denoiser.shape)).astype(np.float32)
    index = np.arange(count)[::-1] % len(denoiser.labels)
    return denoiser.choose(np.float32(denoiser.sigma_max) * noise, index)


def levels_of(denoiser: PipelineDenoiser) -> np.ndarray:
    return np.append(np.geomspace(denoiser.sigma_max, max(denoiser.sigma_min, 0.1), STEPS), 0.0)


def of_three_calls(denoiser: PipelineDenoiser) -> Coefficients:
    """A sampler with weights on two earlier estimates, and told levels of its own."""
    rng, levels = np.random.default_rng(4), levels_of(denoiser)
    weights = np.tril(0.3 * rng.standard_normal((STEPS, 2)), -1)
    told = np.clip(levels[:-1] * np.exp(0.1 * rng.standard_normal(STEPS)), denoiser.sigma_min, denoiser.sigma_max)
    return Coefficients(levels, told / levels[:-1], weights)


@pytest.mark.parametrize(
    "kind", ["ddpm", "dit", "sd1", "sd2", "sd3", "flux", "wan", "inpaint", "controlnet", "img2img"]
)
def test_whole_runs_are_single_calls_put_together(kind: str) -> None:
    denoiser = from_pipeline(tiny(kind), **ARGUMENTS[kind])
    x, levels = noises(denoiser), levels_of(denoiser)
    assert not denoiser.whole
    plans: list[tuple[Plan, str]] = [(levels, "euler"), (levels, "dpmpp_2m"), (of_three_calls(denoiser), "")]
    for plan, solver in plans:
        whole, single = Counted(denoiser), Counted(denoiser)
        found = draw(whole, plan, x, solver)
        assert close(found, draw(lambda x, sigma, to=single: to(x, sigma), plan, x, solver))
        assert (whole.calls, whole.evaluations) == (single.calls, single.evaluations) == (STEPS, STEPS * len(x))
        if denoiser.carried_channels:
            np.testing.assert_array_equal(denoiser.condition(found), denoiser.condition(x))


@pytest.mark.parametrize("name", BY_STEP)
def test_whole_runs_are_what_the_plugged_pipeline_does(name: str) -> None:
    denoiser = by_step(name)
    assert denoiser.whole
    made = of_three_calls(denoiser)
    if denoiser.flow:  # its pipeline begins with plain noise
        made = made._replace(told=np.append(1 - 1 / denoiser.sigma_max, made.told[1:]))
    scheduler = ARTScheduler.from_sampler(
        replace(Sampler.made(made, "given"), flow=denoiser.flow), denoiser.loop.source
    )
    scheduler.set_timesteps(STEPS)
    x = noises(denoiser)
    noise = torch.from_numpy(visible(x, denoiser) / np.float32(denoiser.sigma_max))
    first, last = denoiser.loop.whole(scheduler, denoiser.condition(x).tolist(), noise)
    x[:, :-1] = first * (made.sigmas[0] / float(scheduler.init_noise_sigma)) - denoiser.image
    found = visible(follow(denoiser, made, x), denoiser) + np.asarray(denoiser.image)
    assert close(found, last)
    single = follow(lambda x, sigma: denoiser(x, sigma), made, x)
    assert (
        np.abs(visible(single, denoiser) + np.asarray(denoiser.image) - last.numpy()).max() > 1e-3 * np.abs(last).max()
    )


def test_a_network_call_and_row_is_an_evaluation() -> None:
    """Guidance doubles the rows of the network, and counts once. A split batch counts as what it was."""
    denoiser = from_pipeline(tiny("sd1"), max_batch=2, **ARGUMENTS["sd1"])
    rows: list[int] = []
    denoiser.loop.pipe.unet.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    counted, x = Counted(denoiser), noises(denoiser, 3)
    draw(counted, levels_of(denoiser), x, "dpmpp_2m")
    assert sum(rows) == 2 * counted.evaluations == 2 * STEPS * len(x)
    assert counted.calls == 2 * STEPS  # of two batches


def test_errors_of_ours_pass_through_the_loop() -> None:
    """A spent budget, for example."""

    class Spent(Exception):
        pass

    class Limited(Counted):
        limit = 0

        def asked(self, rows: int) -> None:
            super().asked(rows)
            if self.calls == self.limit:
                raise Spent

    denoiser = by_step("a ControlNet that ends")
    for limit in (1, 3):
        limited = Limited(denoiser)
        limited.limit = limit
        with pytest.raises(Spent):
            draw(limited, levels_of(denoiser), noises(denoiser), "euler")
    assert denoiser.loop.pipe.scheduler is denoiser.loop.source


def test_what_is_not_finite_names_its_level() -> None:
    denoiser = by_step("a ControlNet that ends")
    levels, x = levels_of(denoiser), noises(denoiser) / np.float32(denoiser.sigma_max)
    assert np.isfinite(sample(denoiser, levels, x).samples).all()
    torch.nn.init.constant_(denoiser.loop.pipe.unet.conv_out.bias, float("nan"))
    with pytest.raises(
        ValueError, match=f"PipelineDenoiser gave values that are not finite at sigma = {levels[0]:.6g}"
    ):
        sample(denoiser, levels, x)


def test_searches_make_whole_runs() -> None:
    """Gauss-Newton begins each run anew, and each candidate of CMA-ES has runs of its own."""
    name = "a ControlNet that ends"
    denoiser, single = by_step(name), by_step(name, whole=False)
    x, solver = noises(denoiser), get_solver("dpmpp_2m")
    logits = np.linspace(-0.5, 0.5, STEPS - 1)
    fits = [GaussNewton(Counted(each), solver, x, np.zeros_like(x)) for each in (denoiser, single)]
    levels = Grids(denoiser, STEPS, solver).plan(logits)
    expected = draw(denoiser, levels, x, solver).reshape(len(x), -1)
    whole, blind = (fit.point(logits) for fit in fits)
    np.testing.assert_array_equal(whole.defect, expected)
    assert np.abs(blind.defect - expected).max() > 1e-3 * np.abs(expected).max()
    before = [fit.denoiser.evaluations for fit in fits]
    assert np.isfinite(fits[0].jacobian(whole)).all()
    fits[1].jacobian(blind)
    spent = [fit.denoiser.evaluations - count for fit, count in zip(fits, before, strict=True)]
    assert spent == [len(x) * STEPS * (STEPS - 1), len(x) * STEPS * (STEPS - 1) / 2]

    numbers = np.stack([logits, logits - 0.3, logits], axis=1)  # of three samples
    found = Grids(denoiser, STEPS, solver).samples(numbers, x)
    for row, one in enumerate(numbers.T):
        assert close(found[row], draw(denoiser, Grids(denoiser, STEPS, solver).plan(one), x[row : row + 1], solver)[0])


def test_what_whole_runs_cannot_do() -> None:
    denoiser = by_step("a ControlNet that ends")
    x, levels = noises(denoiser), levels_of(denoiser)
    with pytest.raises(ValueError, match="depends on the number of the step, and heun makes 2 calls a step: choose"):
        draw(denoiser, levels, x, "heun")
    made = of_three_calls(denoiser)
    with pytest.raises(ValueError, match="a whole run has one sampler for all of its samples"):
        follow(denoiser, made._replace(told=np.stack([made.told] * 3, axis=1)), x)
    assert draw(by_step("a ControlNet that ends", whole=False), levels[-3:], x, "heun").shape == x.shape


def test_what_a_callback_does_has_no_fingerprint() -> None:
    """Endpoints of another callback must not be taken for its own."""
    assert by_step("guidance in half of the steps").fingerprint is None
    names = ("a ControlNet that ends", "a ControlNet that begins late")
    found = {by_step(name, **options).fingerprint for name in names for options in ({}, {"whole": False})}
    assert len(found) == 4
    assert None not in found
