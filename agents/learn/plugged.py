"""Whether a pipeline with what was learned plugged in samples what was measured."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import torch

from art_gym.denoisers.base import visible
from art_gym.samplers.plans import Plan, draw
from art_gym.samplers.sampler import Sampler

from .budget import Metered
from .trial import Trial

CHECKED = 2  # noises
SAME = 1e-2  # relative differences that rounding explains, of half precision too


def difference(trial: Trial, plan: Plan, start: np.ndarray) -> float:
    """Run the model's pipeline with `ARTScheduler`, and our loop from the same latents. Returns the largest difference.

    Our loop makes single calls, unless the model depends on the number of the step.

    Args:
        trial: of a `PipelineDenoiser`.
        plan: (K+1,) levels or a sampler. The solver must make one call a step.
        start: (B, *shape) noises at σ_max, for their prompts, and for pipelines that take latents.

    Returns:
        The largest difference of the samples, relative to the largest element.
    """
    from art_gym.export.scheduler import ARTScheduler

    model, made = trial.model, trial.numbers(plan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from diffusers on import
        scheduler = ARTScheduler.from_sampler(Sampler.made(made, "plugged"), model.loop.source)  # type: ignore[attr-defined]
    scheduler.set_timesteps()
    index = model.condition(start)  # type: ignore[attr-defined]
    noise = torch.from_numpy(visible(start, model) / np.float32(model.sigma_max))
    first, last = model.loop.whole(scheduler, index.tolist(), noise)  # type: ignore[attr-defined]
    begun, image = start.copy(), torch.as_tensor(model.image).cpu().numpy()  # type: ignore[attr-defined]
    begun[:, : noise.shape[1]] = first.float().cpu().numpy() * (made.sigmas[0] / float(scheduler.init_noise_sigma))
    begun[:, : noise.shape[1]] -= image
    denoise = trial.denoiser if trial.denoiser.whole else partial(Metered.__call__, trial.denoiser)
    samples = draw(denoise, made, begun, trial.solver)
    found = last.float().cpu().numpy() - image
    return float(np.abs(visible(samples, model) - found).max() / np.abs(found).max())
