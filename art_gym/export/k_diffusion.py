"""A sampler as a sampling function of k-diffusion.

    sample = k_diffusion_sampler(sampler)
    x = sample(model, sampler.sigmas[0] * noise, extra_args={"cond": cond})

This module does not import k-diffusion. Only the sampling itself needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from art_gym.denoisers.base import RANGE_TOLERANCE, Array
from art_gym.samplers.coefficients import Coefficients, follow
from art_gym.samplers.sampler import Sampler

Callback = Callable[[dict[str, Any]], object]


def k_diffusion_sampler(sampler: Sampler) -> Callable[..., Array]:
    """Return ``sample(model, x, sigmas=None, extra_args=None, callback=None, disable=None)``, as k-diffusion has them.

    - ``model(x, sigma, **extra_args)`` is the denoiser, with sigma of shape (B,). It is called at the told levels.
    - ``x`` are latents at the first level: the sampler's largest, or that of ``sigmas``.
    - ``sigmas`` are the sampler's levels, or consecutive ones of them. For image to image pass the last ones, and
      ``x = latents + sigmas[0] * noise``. The first steps then have no memory, and drop the weights on it.
    - ``callback`` gets x, i, sigma, sigma_hat (the told level) and denoised at each step.
    - ``disable=True`` hides the progress bar. None shows it on terminals only.

    ``sample`` raises a ValueError for other levels, because the weights belong to the sampler's own.

    Raises:
        ValueError: for anything but a sampler, such as a schedule.
    """
    if not isinstance(sampler, Sampler):
        raise ValueError(
            f"k_diffusion_sampler needs a Sampler, got {type(sampler).__name__}: for levels with a solver make one "
            f"with Sampler.of(levels, solver)"
        )

    def sample(
        model: Callable[..., Array],
        x: Array,
        sigmas: Iterable[float] | None = None,
        extra_args: dict[str, Any] | None = None,
        callback: Callback | None = None,
        disable: bool | None = None,
    ) -> Array:
        import torch
        from tqdm.auto import tqdm

        numbers = sampler.coefficients()
        part = (numbers if sigmas is None else _consecutive(numbers, sigmas)).like(x)
        steps = iter(range(len(part.told)))
        with torch.no_grad(), tqdm(total=len(part.told), disable=disable) as bar:

            def denoise(x: Array, told: Array) -> Array:
                denoised, i = model(x, told, **(extra_args or {})), next(steps)
                if callback is not None:
                    callback({"x": x, "i": i, "sigma": part.sigmas[i], "sigma_hat": told[0], "denoised": denoised})
                bar.update()
                return denoised

            return follow(denoise, part, x)

    return sample


def _consecutive(numbers: Coefficients, sigmas: Iterable[float]) -> Coefficients:
    """The numbers of the steps between these levels."""
    levels, wanted = numbers.sigmas, np.array([float(sigma) for sigma in sigmas])
    steps = len(wanted) - 1
    for first in range(len(levels) - steps if len(wanted) else 0):
        # Rounding, as of float16, makes them differ.
        if np.allclose(wanted, levels[first : first + steps + 1], rtol=RANGE_TOLERANCE, atol=0):
            last = first + steps
            return Coefficients(levels[first : last + 1], numbers.told[first:last], numbers.weights[first:last])
    strange = [level for level in wanted if not np.isclose(level, levels, rtol=RANGE_TOLERANCE, atol=0).any()]
    found = f"have the level {strange[0]:g}, which is none of its own" if strange else "skip, repeat or reorder some"
    raise ValueError(
        f"sigmas must be consecutive levels of the sampler, from {levels[0]:g} to 0 in {len(levels) - 1} steps, but "
        f"{found}: pass sigmas=None, or a part of sampler.to_sigmas()"
    )
