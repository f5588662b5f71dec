"""`ARTScheduler` alone: its configuration, what it refuses, and what it imports."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.denoisers.variance_preserving import vp_sigmas
from art_gym.samplers import Sampler
from art_gym.schedules import Schedule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers

    from art_gym.export import ARTScheduler

LEVELS = (14.0, 5.5, 2.0, 0.7, 0.2, 0.05, 0.0)
WEIGHTS = ((), (0.3,), (0.4, -0.1), (0.5, -0.05), (0.2,), (0.1, 0.02))
SAMPLER = Sampler(LEVELS, (0.98, 1.02, 0.97, 1.0, 1.05, 1.1), WEIGHTS, "test")
FLOW = replace(SAMPLER, flow=True)
K = SAMPLER.num_steps
NOISE = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(2))
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def euler() -> Any:
    return diffusers.EulerDiscreteScheduler()


def flow_of(**options: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**options)


def cosmos() -> Any:
    scheduler = flow_of()
    scheduler.register_to_config(sigma_max=80.0)  # as its pipeline does
    return scheduler


def made(scheduler: Any, sampler: Sampler | None = None) -> ARTScheduler:
    flow = type(scheduler).__name__.startswith("FlowMatch")
    return ARTScheduler.from_sampler(sampler or (FLOW if flow else SAMPLER), scheduler)


def stepped(timestep: Any = None, begin: int | None = None, output: torch.Tensor = NOISE) -> Any:
    scheduler = made(euler())
    scheduler.set_timesteps(K)
    if begin is not None:
        scheduler.set_begin_index(begin)
    return scheduler.step(output, scheduler.timesteps[0] if timestep is None else timestep, NOISE)


def test_saved_and_loaded(tiny_model: Any, tmp_path: Path) -> None:
    """A scheduler alone, and one in its pipeline, which names its class by this package's module."""
    source = diffusers.DDPMScheduler(clip_sample=False, beta_schedule="squaredcos_cap_v2")
    pipe = diffusers.DDPMPipeline(tiny_model(), ARTScheduler.from_sampler(SAMPLER, source))
    pipe.save_pretrained(tmp_path)
    loaded = [ARTScheduler.from_pretrained(tmp_path / "scheduler"), diffusers.DDPMPipeline.from_pretrained(tmp_path)]
    pipes = [pipe, diffusers.DDPMPipeline(pipe.unet, loaded[0]), loaded[1]]
    for each in pipes:
        each.set_progress_bar_config(disable=True)
    found = [each(2, torch.Generator().manual_seed(1), K, output_type="pt").images for each in pipes]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert loaded[0].sampler == SAMPLER
    assert type(loaded[1].scheduler) is ARTScheduler
    again = ARTScheduler.from_sampler(replace(SAMPLER, seed=4), loaded[0])  # another sampler for the same model
    assert again.sampler.seed == 4
    np.testing.assert_array_equal(again.timesteps, pipe.scheduler.timesteps)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LCMScheduler", {"clip_sample": False}),  # its default betas are not ours
        ("EulerDiscreteScheduler", {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}),
        ("DPMSolverMultistepScheduler", {"trained_betas": np.linspace(1e-3, 0.03, 500), "num_train_timesteps": 500}),
        ("CogVideoXDDIMScheduler", {"clip_sample": False}),  # it shifts its table
    ],
)
def test_the_noise_levels_of_the_source(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    source = getattr(diffusers, kind)(**options)
    ARTScheduler.from_sampler(SAMPLER, source).save_pretrained(tmp_path)
    ours = ARTScheduler.from_pretrained(tmp_path)
    np.testing.assert_allclose(vp_sigmas(ours), vp_sigmas(source), rtol=1e-5)
    told = np.array(SAMPLER.told) * LEVELS[:-1]
    levels = np.exp(np.interp(ours.timesteps, np.arange(len(vp_sigmas(source))), np.log(vp_sigmas(source))))
    np.testing.assert_allclose(levels, told, rtol=1e-4)


def test_a_predicted_variance_is_left_out() -> None:
    scheduler = ARTScheduler(SAMPLER)
    scheduler.set_timesteps()
    assert scheduler.num_inference_steps == K
    output = torch.randn(3, 8, 4, 4)
    both = scheduler.step(output, scheduler.timesteps[0], NOISE)
    scheduler.set_timesteps()
    prev_sample, denoised = scheduler.step(output[:, :4], scheduler.timesteps[0], NOISE, return_dict=False)
    assert torch.equal(both.prev_sample, prev_sample)
    assert torch.equal(both.pred_original_sample, denoised)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    half, precise, x = ARTScheduler(SAMPLER), ARTScheduler(SAMPLER), NOISE.to(dtype)
    half.set_timesteps()
    precise.set_timesteps()
    for timestep in half.timesteps:
        output = torch.randn(3, 4, 4, 4).to(dtype)
        expected = precise.step(output.float(), timestep, x.float())
        x = half.step(output, timestep, x).prev_sample
        assert torch.equal(x, expected.prev_sample.to(dtype))


def test_noise_of_single_timesteps() -> None:
    """Without a begin index each timestep names its step, as in training."""
    scheduler = ARTScheduler(SAMPLER)
    found = scheduler.add_noise(torch.ones(3, 4, 4, 4), NOISE, scheduler.timesteps[[5, 0, 2]])
    for row, k in enumerate((5, 0, 2)):
        expected = (1 + LEVELS[k] * NOISE[row]) / (1 + (SAMPLER.told[k] * LEVELS[k]) ** 2) ** 0.5
        torch.testing.assert_close(found[row], expected)


def begun(sampler: Sampler) -> Any:
    scheduler = made(flow_of(), sampler)
    scheduler.set_timesteps(K)
    return scheduler.step(NOISE, scheduler.timesteps[0], NOISE)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: ARTScheduler(SAMPLER, "noise"), "unknown prediction type 'noise': choose one of epsilon, v_prediction"),
    (lambda: made(diffusers.DDPMScheduler()), "has clip_sample=True, .*: make it with clip_sample=False"),
    (lambda: made(diffusers.UniPCMultistepScheduler(thresholding=True)), "make it with thresholding=False"),
    (lambda: made(flow_of(stochastic_sampling=True)), "make it with stochastic_sampling=False"),
    (lambda: made(flow_of(invert_sigmas=True)), "has invert_sigmas=True, .*: keep the scheduler"),
    (lambda: made(cosmos()), "has sigma_max=80, .*: keep the scheduler"),
    (
        lambda: ARTScheduler.from_sampler(SAMPLER, diffusers.IPNDMScheduler(), None, "sample"),
        "has no table of noise levels",
    ),
    (lambda: made(SAMPLER), "scheduler is a Sampler, which is no scheduler of diffusers"),
    (lambda: begun(replace(FLOW, sigmas=(1.0, *np.linspace(0.5, 0, 6)))), "starts at σ = 1: use one that"),
    (lambda: made(euler(), replace(SAMPLER, told=(20.0, *SAMPLER.told[1:]))), "level 280 is outside the noise range"),
    (lambda: ARTScheduler.from_sampler(Schedule(LEVELS, "test"), euler(), "heun"), "more than one denoiser call"),
    (lambda: made(euler()).set_timesteps(7), "of K = 6 steps cannot make 7: pass num_inference_steps=6, or learn"),
    (lambda: made(euler()).set_timesteps(sigmas=LEVELS), "got 7 others: leave sigmas= and timesteps= out"),
    (lambda: made(euler()).step(NOISE, 999.0, NOISE), "call set_timesteps\\(\\) before the first step"),
    (lambda: stepped(timestep=1.0), "timestep 1 is none of the sampler's, 718.284, .*: pass an element of"),
    (lambda: stepped(begin=6), "step 6 is none of the sampler's, 0 to 5: call set_timesteps"),
    (lambda: stepped(output=NOISE[:, :3]), "output has shape \\(3, 3, 4, 4\\), its latents \\(3, 4, 4, 4\\)"),
]


@pytest.mark.parametrize(("attempt", "message"), REFUSED)
def test_what_is_refused_says_what_to_do(attempt: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        attempt()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("flow", [False, True])
def test_another_kind_of_model_is_said(flow: bool) -> None:
    with pytest.warns(UserWarning, match="its gain may be lost") as said:
        ARTScheduler.from_sampler(SAMPLER if flow else FLOW, flow_of() if flow else euler())
    assert [warning.filename for warning in said] == [__file__]


def test_it_needs_neither_environments_nor_training() -> None:
    """The package itself registers its environments, but the scheduler imports them not."""
    code = (
        "import sys, art_gym\n"
        "for name in [name for name in sys.modules if name.split('.')[0] == 'gymnasium']: del sys.modules[name]\n"
        "before = set(sys.modules)\n"
        "sys.modules |= dict.fromkeys(('gymnasium', 'stable_baselines3', 'sb3_contrib', 'tensorboard'))\n"  # blocked
        "import art_gym.export.scheduler\n"
        "rooms = {name.split('.')[1] for name in set(sys.modules) - before if name.startswith('art_gym.')}\n"
        "assert not rooms & {'envs', 'tasks', 'search', 'evaluation', 'agents'}, rooms\n"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_what_ddim_pipelines_pass_to_a_step() -> None:
    """They pass eta and clipping, by default none. More of either is refused."""
    scheduler = made(diffusers.DDIMScheduler(clip_sample=False))
    scheduler.set_timesteps(K)
    step = scheduler.timesteps[0]
    plain = scheduler.step(NOISE, step, NOISE, eta=0.0, use_clipped_model_output=None).prev_sample
    assert torch.isfinite(plain).all()
    for option in ({"eta": 0.5}, {"use_clipped_model_output": True}):
        with pytest.raises(ValueError, match=r"adds no noise and clips nothing, got eta=0(\.5)?:"):
            scheduler.step(NOISE, step, NOISE, **option)
