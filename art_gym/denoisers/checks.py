"""Whether an object is a denoiser, and whether it can be called as one."""

from __future__ import annotations

from contextlib import suppress
from weakref import WeakValueDictionary

import numpy as np

from art_gym.denoisers.base import Denoiser


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
