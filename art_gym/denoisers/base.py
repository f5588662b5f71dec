"""What a denoiser is, how its calls are counted, and how a plain function becomes one."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from weakref import WeakValueDictionary

import numpy as np

Array = Any  # a numpy array or a torch tensor: the array-API functions below work on either

SIGMA_MIN = 0.002  # EDM's noise range (Karras et al. 2022, table 1); a task without its own uses it
SIGMA_MAX = 80.0
RANGE_TOLERANCE = 1e-3  # relative: a schedule's ends went through float32, logarithms and six printed digits


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

    Seven further attributes are optional. ``sample_data(n, rng)`` draws (n, *shape) data for the distances to data
    (None is no data);
    ``fingerprint`` is a string that names the weights, under which precise endpoints are cached on disk;
    ``decode(x)`` takes (B, *shape) clean latents to (B, *image shape) images (None is no decoder): with it errors are
    measured in image space too;
    ``features(images)`` takes (B, *visible shape) samples to (B, f) features, in which their Fréchet distance to the
    data of ``sample_data`` and their precision and recall are measured (None is no such network);
    ``carried_channels`` counts trailing channels that carry a condition: D hands them back as they are, and errors,
    data, statistics and pictures leave them out (`visible`);
    ``condition(x)`` takes (B, *shape) noises to (B,) whole numbers, such as the classes that they carry: all noises of
    an episode have the same (in `art-gym learn`, and while PPO's warm start searches, they are mixed: what is sought
    there is one schedule for all; noises that a reset's options name are taken as they are);
    ``flow`` is True for a flow model, of which schedules are marked, since its samplers take s = σ/(1 + σ).
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


def visible(x: Array, denoiser: Denoiser, batch_axes: int = 1) -> Array:
    """Latents without the trailing channels that carry a condition; (…batch, *shape) to (…batch, *visible shape)."""
    carried = getattr(denoiser, "carried_channels", 0)
    return x[(slice(None),) * batch_axes + (slice(None, -carried),)] if carried else x


def check_finite(denoised: Array, sigma: Array, denoiser: Denoiser) -> Array:
    """Return the (B, *shape) estimate, or raise a ValueError that names the levels where it is not finite."""
    if not math.isfinite(float(denoised.sum())):
        bad = np.asarray(sigma)[~np.isfinite(np.asarray(denoised)).reshape(len(sigma), -1).all(axis=1)]
        if len(bad):  # large finite values may overflow in the sum alone
            raise ValueError(
                f"the denoiser {type(denoiser).__name__} gave values that are not finite at sigma = "
                f"{', '.join(f'{level:.6g}' for level in np.unique(bad)[:3])}: check its noise range, "
                f"{denoiser.sigma_min:g} to {denoiser.sigma_max:g}, and its precision"
            )
    return denoised


def checked(denoiser: Denoiser) -> Callable[[Array, Array], Array]:
    """D, with `check_finite` of all that it gives."""
    return lambda x, sigma: check_finite(denoiser(x, sigma), sigma, denoiser)


def check_levels(levels: np.ndarray, sigma_min: float, sigma_max: float, whose: str) -> None:
    """Raise a ValueError if (K+1,) levels, but for the trailing 0, leave a noise range by more than rounding."""
    for level in levels[:-1]:
        if not sigma_min * (1 - RANGE_TOLERANCE) <= level <= sigma_max * (1 + RANGE_TOLERANCE):
            raise ValueError(
                f"level {level:.6g} is outside the noise range of {whose}, {sigma_min:.6g} to {sigma_max:.6g}: "
                f"make the schedule for that range"
            )


@dataclass(frozen=True)
class FunctionDenoiser:
    """A plain function ``function(x, sigma)`` as a denoiser.

    Args:
        function: maps x (B, *shape) and sigma (B,) to the denoised estimate (B, *shape).
        shape: shape of one latent.
        sigma_min, sigma_max: the noise range that the function is good for.
        data_std: standard deviation of the data.
        fingerprint: names the function's weights; without it nothing is cached on disk.

    Raises:
        ValueError: for a noise range that is not 0 < sigma_min < sigma_max, or an empty or non-positive shape.
    """

    function: Callable[[Array, Array], Array]
    shape: tuple[int, ...]
    sigma_min: float = SIGMA_MIN
    sigma_max: float = SIGMA_MAX
    data_std: float = 0.5
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        check_denoiser(self)
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))  # numpy's would change cache keys

    def __call__(self, x: Array, sigma: Array) -> Array:
        return self.function(x, sigma)


class Counted:
    """A denoiser that counts its calls: the one place where function evaluations (NFE) are counted.

    ``calls`` counts calls of the network, ``evaluations`` the samples in them.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.shape, self.data_std = denoiser.shape, denoiser.data_std
        self.sigma_min, self.sigma_max = denoiser.sigma_min, denoiser.sigma_max
        self.carried_channels = getattr(denoiser, "carried_channels", 0)
        self.calls = 0
        self.evaluations = 0

    def __call__(self, x: Array, sigma: Array) -> Array:
        self.calls += 1
        self.evaluations += x.shape[0]
        return self.denoiser(x, sigma)


def check_denoiser(denoiser: Denoiser) -> Denoiser:
    """Return the denoiser, or raise a ValueError that names the attribute that does not fit."""
    if isinstance(denoiser, type):
        raise ValueError(f"a denoiser is the class {denoiser.__name__}: give an object of it, {denoiser.__name__}(…)")
    if not callable(denoiser) or not callable(getattr(denoiser, "function", denoiser)):
        raise ValueError(f"a denoiser must be callable as denoiser(x, sigma), got {denoiser!r}")
    for name in ("shape", "sigma_min", "sigma_max", "data_std"):
        if not hasattr(denoiser, name):
            raise ValueError(
                f"{type(denoiser).__name__} has no attribute {name!r}; give it one, or wrap the function: "
                f"FunctionDenoiser(function, shape, sigma_min, sigma_max, data_std)"
            )
    shape = denoiser.shape
    whole = isinstance(shape, tuple) and all(isinstance(size, int | np.integer) and size >= 1 for size in shape)
    if not whole or not shape:
        raise ValueError(f"shape must be a non-empty tuple of positive whole numbers, got {shape!r}")
    for name in ("sigma_min", "sigma_max", "data_std"):
        if not _is_number(getattr(denoiser, name)):
            raise ValueError(f"{name} must be a number, got {getattr(denoiser, name)!r}")
    if not 0 < denoiser.sigma_min < denoiser.sigma_max < np.inf:
        raise ValueError(
            f"the noise range must be 0 < sigma_min < sigma_max, got {denoiser.sigma_min!r} to {denoiser.sigma_max!r}"
        )
    if not 0 < denoiser.data_std < np.inf:
        raise ValueError(f"data_std must be positive and finite, got {denoiser.data_std!r}")
    return denoiser


def _is_number(value: object) -> bool:
    """Of Python, numpy or torch: what float() takes, but for text."""
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str)


def check_call(denoiser: Denoiser) -> None:
    """Call D twice, and raise a ValueError that says what does not fit: its arguments, or what it hands back."""
    # No axis of a latent has as many: σ of shape (B,) must not fit one by chance.
    count = next(size for size in range(2, 100) if size not in denoiser.shape)
    x = np.full((count, *denoiser.shape), 0.5, np.float32)
    sigma = np.full(count, denoiser.data_std, np.float32)
    np.clip(sigma, denoiser.sigma_min, denoiser.sigma_max, out=sigma)
    given, name = x.copy(), type(denoiser).__name__
    try:
        found = denoiser(x, sigma)
    except (TypeError, ValueError, RuntimeError) as error:  # the last is torch's for shapes
        if "OutOfMemory" in type(error).__name__:  # a RuntimeError too, of torch, which is not imported here
            raise
        raise ValueError(
            f"the denoiser {name} must take arrays x of shape {x.shape} and sigma of shape ({count},), a level "
            f"for each latent: {' '.join(str(error).split())}"
        ) from None
    floating = isinstance(found, np.ndarray) and np.issubdtype(found.dtype, np.floating)
    if not floating or found.shape != x.shape:
        got = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
        raise ValueError(
            f"the denoiser {name} must return a numpy array of floats of the shape of x, {x.shape}, got {got} "
            f"(a function of torch tensors: art_gym.denoisers.from_callable)"
        )
    if not np.array_equal(x, given):
        raise ValueError(f"the denoiser {name} changes its argument x in place: make it return a new array")
    before = found.copy()
    denoiser(x / 2, sigma)
    if not np.array_equal(found, before, equal_nan=True):
        raise ValueError(f"the denoiser {name} changes at a call what it gave before: make it return a new array")


# By identity, since a user's object may have no hash; weakly, since a model may fill a card's memory.
_called: WeakValueDictionary[int, Denoiser] = WeakValueDictionary()


def check_call_once(denoiser: Denoiser) -> None:
    """As `check_call`, for a denoiser object that has not been through it yet: it costs two calls of D."""
    if _called.get(id(denoiser)) is not denoiser:
        check_call(denoiser)
        with suppress(TypeError):  # an object that cannot be referred to weakly is called each time
            _called[id(denoiser)] = denoiser
