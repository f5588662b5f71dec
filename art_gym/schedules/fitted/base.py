"""The interface of a grid that is fitted to a model, and what such grids share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from art_gym.common.registry import Registry
from art_gym.denoisers.base import Checked, Denoiser, models_of, per_sample, visible
from art_gym.schedules.fine import reference_grid
from art_gym.solvers.loop import integrate

NOISES = 256  # of a fit
SAMPLING = 64  # steps of the model's own samples; each costs one denoiser evaluation
FEWEST = 2

# form(denoiser, num_steps, start): (K+1,) levels with a trailing 0, fitted on (B, *shape) latents at σ_max
Form = Callable[[Denoiser, int, np.ndarray], np.ndarray]
FITTED: Registry[Form] = Registry("fitted grid", "art_gym.schedules.fitted")

fitted = FITTED.named  # decorates a form, with its name as `art-gym evaluate name:10` takes it


def fitted_grid(name: str, num_steps: int, denoiser: Denoiser, start: np.ndarray) -> np.ndarray:
    """Return the (K+1,) levels of a named form.

    Args:
        name: a key of `FITTED`.
        num_steps: K.
        denoiser: D.
        start: (B, *shape) latents at σ_max, at least 2, all of one model.

    Raises:
        ValueError: for an unknown name, too few latents, latents of several models, or values of D that are not
            finite.
    """
    form = FITTED.find(name)
    if len(start) < FEWEST:
        raise ValueError(f"the grid {name!r} is fitted on at least {FEWEST} latents, got {len(start)}: give more")
    if models_of(start, denoiser) is not None:
        raise ValueError(
            f"the grid {name!r} is fitted to one model, but {type(denoiser).__name__} is several: give one of them"
        )
    return form(denoiser, num_steps, start)


class Diffused:
    """The model's own samples with noise: x_σ = x₀ + σε, with the same x₀ and ε at all levels.

    The papers take training data. The samples of a good model are distributed as the data are.

    Args:
        denoiser: D.
        start: (B, *shape) latents at σ_max, from which the samples come. ε is that of the next latent in the batch.
    """

    def __init__(self, denoiser: Denoiser, start: np.ndarray) -> None:
        self.denoiser, self.denoise = denoiser, Checked(denoiser)
        self.whole = integrate(denoiser, reference_grid(denoiser, SAMPLING), start, "dpmpp_2m")
        self.clean = visible(self.whole, denoiser)
        self.noise = np.roll(visible(start, denoiser), 1, axis=0) / np.float32(denoiser.sigma_max)

    def at(self, sigma: float | np.ndarray) -> np.ndarray:
        """(B, *shape) x_σ, with one level for all or (B,) levels. What the latents carry stays."""
        x: np.ndarray = self.whole.copy()
        visible(x, self.denoiser)[:] += per_sample(np.float32(sigma), self.noise) * self.noise
        return x

    def estimate(self, x: np.ndarray, sigma: float | np.ndarray) -> np.ndarray:
        """(B, *visible shape) D(x, σ)."""
        return np.asarray(visible(self.denoise(x, np.full(len(x), sigma, x.dtype)), self.denoiser))

    def mmse(self, sigma: float) -> float:
        """E‖x₀ − D(x_σ, σ)‖², the training loss, as a mean over the elements."""
        return float(((self.clean - self.estimate(self.at(sigma), sigma)).astype(np.float64) ** 2).mean())


def equal_parts(nodes: np.ndarray, lengths: np.ndarray, num_steps: int) -> np.ndarray:
    """Return (K+1,) levels: the (M−1,) lengths between (M,) nodes in K equal parts, and σ_min replaced by 0.

    Published grids that end at σ_min have K calls so. A length of 0 counts as a millionth of them all, so that the
    levels decrease.
    """
    lengths = np.maximum(lengths, 1e-6 * lengths.sum())
    ends = np.append(0, np.cumsum(lengths))
    levels: np.ndarray = np.exp(np.interp(np.linspace(0, ends[-1], num_steps + 1), ends, np.log(nodes)))
    levels[0], levels[-1] = nodes[0], 0.0
    return levels
