"""The denoiser interface, checks of its values, and a call counter."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

Array = Any  # a numpy array or a torch tensor: the array-API functions below work on either

Walk = Generator[tuple[Array, Array], tuple[Array, Array], Array]
"""Sampling with one call of D a step. Yields (B, *shape) latents and the (B,) levels that D is told. Takes the latents
at which D was called, which its loop may have changed, and D there. Returns (B, *shape) samples."""

SIGMA_MIN = 0.002  # EDM's noise range (Karras et al. 2022, table 1), the default
SIGMA_MAX = 80.0
MODEL_FLOOR = 0.01  # of a model's standard deviation
LARGE = 512  # elements of a latent, from which on a denoiser may be slow
RANGE_TOLERANCE = 1e-3  # relative, because float32, logarithms and six printed digits round a schedule's ends


@runtime_checkable
class Denoiser(Protocol):
    """D(x, σ) = E[x₀ | x₀ + σε = x], for a batch with one noise level per sample.

    Attributes:
        shape: shape of one latent, without the batch.
        sigma_min: lowest positive noise level at which D may be called.
        sigma_max: level at which sampling starts, from x = σ_max ε.
        data_std: standard deviation of the data, one number for all elements.

    ``denoiser(x, sigma)`` takes x of shape (B, *shape) and sigma of shape (B,), numpy arrays or torch tensors, and
    returns the denoised estimate in the same kind and shape, as a new array.

    Further attributes are optional:

    - ``sample_data(n, rng)`` draws (n, *shape) data, for distances to data.
    - ``fingerprint`` is a string that names the weights. Precise endpoints are cached on disk under it.
    - ``decode(x)`` takes (B, *shape) clean latents to (B, *image shape) images. Errors can also be measured on them.
    - ``features(images)`` takes (B, *visible shape) samples to (B, f) features, for Fréchet distance, precision and
      recall.
    - ``carried_channels`` counts trailing channels that carry a condition. D returns them unchanged. Errors, data,
      statistics and pictures leave them out (`visible`).
    - ``condition(x)`` takes (B, *shape) noises to (B,) whole numbers, such as classes. All noises of an episode have
      the same one. Searches and the warm start mix them, because they look for one schedule for all.
    - ``arrange(noises, first)`` changes (B, *shape) noises of a bank, the first of which is in row ``first``. It writes
      what a latent carries where that is not left to chance.
    - ``scales(conditions)`` gives two arrays: the standard deviation of each condition's data, and the share of a
      latent's elements that it uses. Conditions are then models of their own, and a mean error is the geometric mean of
      theirs (`Models`).
    - ``guided(denoised, weights)`` gives (E, N, *shape) estimates (E,) guidance weights, and ``direction(denoised)``
      what guidance changes, which lies in a carried channel of D. Then actions can choose the guidance.
    - ``quality(images, classes)`` judges E sets of samples of classes (`art_gym.measures.class_quality.ClassQuality`).
      Training then lowers its cost, and not the error.
    - ``contexts`` is how many models there are, and ``model(number)`` gives one of them.
    - ``flow`` is True for a flow model. Its schedules are marked, because samplers of flow models take s = σ/(1 + σ).
    - ``whole_run(walk, levels, told, x)`` makes all calls of a run in one go, as loops of pipelines do. ``walk(x)``
      begins a `Walk` from rows of the (B, *shape) tensor x, through (K+1,) levels, with D told (K,) levels.
    - ``whole`` is True if D depends on the number of the step in its run, so that samples must be whole runs.
    - ``from_image`` is True if sampling begins at an image with noise, and not at plain noise.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def sigma_min(self) -> float: ...
    @property
    def sigma_max(self) -> float: ...
    @property
    def data_std(self) -> float: ...

    def __call__(self, x: Array, sigma: Array, /) -> Array: ...


def per_sample(values: Array, x: Array) -> Array:
    """Reshape (B,) to (B, 1, …, 1), to multiply x of shape (B, *shape)."""
    return values[(...,) + (None,) * (x.ndim - 1)]


def visible(x: Array, denoiser: Denoiser, batch_axes: int = 1) -> Array:
    """Drop the trailing channels that carry a condition, from (…batch, *shape) to (…batch, *visible shape)."""
    carried = getattr(denoiser, "carried_channels", 0)
    return x[(slice(None),) * batch_axes + (slice(None, -carried),)] if carried else x


def from_level(start: np.ndarray, sigma: float, denoiser: Denoiser) -> np.ndarray:
    """Return (B, *shape) noises at σ_max as noises of another level. What they carry stays."""
    if sigma == denoiser.sigma_max:
        return start
    scaled = start.copy()
    visible(scaled, denoiser)[:] *= np.float32(sigma / denoiser.sigma_max)
    return scaled


class Models(NamedTuple):
    """The models that latents belong to, where a denoiser is several models.

    Attributes:
        numbers: (B,) which model.
        stds: (B,) standard deviation of its data.
        shares: (B,) share of a latent's elements that it uses. The others are 0.
    """

    numbers: np.ndarray
    stds: np.ndarray
    shares: np.ndarray

    @property
    def scales(self) -> np.ndarray:
        """(B,) root mean square of a deviation of the data over all elements, which errors are compared with."""
        scales: np.ndarray = self.stds * np.sqrt(self.shares)
        return scales

    @property
    def floors(self) -> np.ndarray:
        """(B,) smallest errors that count, so that no model rules a mean of logarithms."""
        return MODEL_FLOOR * self.scales


def is_several(denoiser: Denoiser) -> bool:
    """Whether a denoiser is several models."""
    return getattr(denoiser, "scales", None) is not None


def models_of(x: np.ndarray, denoiser: Denoiser) -> Models | None:
    """The models of (B, *shape) latents; None for a single model."""
    if not is_several(denoiser):
        return None
    numbers = denoiser.condition(x)  # type: ignore[attr-defined]
    return Models(numbers, *denoiser.scales(numbers))  # type: ignore[attr-defined]


def check_single(denoiser: Denoiser) -> None:
    """Raise a ValueError for a denoiser that is many models, where one is meant."""
    if is_several(denoiser):
        raise ValueError(
            f"this is for one model, and {type(denoiser).__name__} is many: take one of them, as with "
            f"art_gym.get_task('procedural').model(3)"
        )


def check_finite(denoised: Array, sigma: Array, denoiser: Denoiser) -> Array:
    """Return the (B, *shape) estimate, or raise a ValueError that names the levels where it is not finite."""
    if not math.isfinite(float(denoised.sum())):
        levels, values = (each.detach().cpu() if hasattr(each, "detach") else each for each in (sigma, denoised))
        bad = np.asarray(levels)[~np.isfinite(np.asarray(values)).reshape(len(sigma), -1).all(axis=1)]
        if len(bad):  # if empty, only the sum of large finite values overflowed
            raise ValueError(
                f"the denoiser {type(denoiser).__name__} gave values that are not finite at sigma = "
                f"{', '.join(f'{level:.6g}' for level in np.unique(bad)[:3])}: check its noise range, "
                f"{denoiser.sigma_min:g} to {denoiser.sigma_max:g}, and its precision"
            )
    return denoised


def check_levels(levels: np.ndarray, sigma_min: float, sigma_max: float, whose: str) -> None:
    """Raise a ValueError if one of (K+1,) levels, except the last, is outside a noise range by more than rounding."""
    for level in levels[:-1]:
        if not sigma_min * (1 - RANGE_TOLERANCE) <= level <= sigma_max * (1 + RANGE_TOLERANCE):
            raise ValueError(
                f"level {level:.6g} is outside the noise range of {whose}, {sigma_min:.6g} to {sigma_max:.6g}: "
                f"make the schedule for that range"
            )


class Counted:
    """A denoiser that counts its calls. All function evaluations (NFE) are counted here.

    ``calls`` counts calls of the network, ``evaluations`` counts the samples in them.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.shape, self.data_std = denoiser.shape, denoiser.data_std
        self.sigma_min, self.sigma_max = denoiser.sigma_min, denoiser.sigma_max
        self.carried_channels = getattr(denoiser, "carried_channels", 0)
        self.device = getattr(denoiser, "device", None)  # where runs take place (`art_gym.denoisers.devices`)
        self.flow, self.from_image = getattr(denoiser, "flow", False), getattr(denoiser, "from_image", False)
        self.whole = getattr(denoiser, "whole", False)
        self.whole_run = None if getattr(denoiser, "whole_run", None) is None else self._whole_run
        self.calls = 0
        self.evaluations = 0

    def __call__(self, x: Array, sigma: Array) -> Array:
        self.asked(len(x))
        return self.answered(self.denoiser(x, sigma), sigma)

    def asked(self, rows: int) -> None:
        """Count a call of this many samples, before it is made."""
        self.calls += 1
        self.evaluations += rows

    def answered(self, denoised: Array, sigma: Array) -> Array:
        """Return what a call gave."""
        return denoised

    def _whole_run(self, walk: Callable[[Array], Walk], levels: np.ndarray, told: np.ndarray, x: Array) -> Array:
        return self.denoiser.whole_run(lambda part: self._watched(walk(part)), levels, told, x)  # type: ignore[attr-defined]

    def _watched(self, walk: Walk) -> Walk:
        asked = next(walk)
        while True:
            self.asked(len(asked[0]))
            x, denoised = yield asked
            try:
                asked = walk.send((x, self.answered(denoised, asked[1])))
            except StopIteration as end:
                return end.value


class Checked(Counted):
    """A denoiser whose every output is checked by `check_finite`."""

    def answered(self, denoised: Array, sigma: Array) -> Array:
        """Return what a call gave, if it is finite."""
        return check_finite(denoised, sigma, self.denoiser)
