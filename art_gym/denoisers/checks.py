"""Check that an object is a denoiser, and that calling it works."""

from __future__ import annotations

from contextlib import suppress
from weakref import WeakValueDictionary

import numpy as np

from art_gym.common.limits import check_elements
from art_gym.common.messages import short, told
from art_gym.denoisers.base import Denoiser


def check_denoiser(denoiser: Denoiser) -> Denoiser:
    """Return the denoiser, or raise a ValueError that names the attribute that does not fit."""
    if isinstance(denoiser, type):
        raise ValueError(f"a denoiser is the class {denoiser.__name__}: give an object of it, {denoiser.__name__}(…)")
    if not callable(denoiser) or not callable(getattr(denoiser, "function", denoiser)):
        raise ValueError(f"a denoiser must be callable as denoiser(x, sigma), got {short(denoiser)}")
    for name in ("shape", "sigma_min", "sigma_max", "data_std"):
        if not hasattr(denoiser, name):
            raise ValueError(
                f"{type(denoiser).__name__} has no attribute {name!r}; give it one, or wrap the function: "
                f"FunctionDenoiser(function, shape, sigma_min, sigma_max, data_std)"
            )
    shape = denoiser.shape
    whole = isinstance(shape, tuple) and all(isinstance(size, int | np.integer) and size >= 1 for size in shape)
    if not whole or not shape:
        raise ValueError(f"shape must be a non-empty tuple of positive whole numbers, got {short(shape)}")
    check_elements(f"a latent of shape {short(shape)}", *shape)
    for name in ("sigma_min", "sigma_max", "data_std"):
        if not _is_number(getattr(denoiser, name)):
            raise ValueError(f"{name} must be a number, got {short(getattr(denoiser, name))}")
    if not 0 < denoiser.sigma_min < denoiser.sigma_max < np.inf:
        low, high = short(denoiser.sigma_min), short(denoiser.sigma_max)
        raise ValueError(f"the noise range must be 0 < sigma_min < sigma_max, got {low} to {high}")
    if not 0 < denoiser.data_std < np.inf:
        raise ValueError(f"data_std must be positive and finite, got {short(denoiser.data_std)}")
    return denoiser


def _is_number(value: object) -> bool:
    """Whether float() takes the value, text excepted. It takes numbers of Python, numpy and torch."""
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, str)


def check_call(denoiser: Denoiser) -> None:
    """Call D twice. Raise a ValueError that says what is wrong with its arguments or its output."""
    # No axis of a latent has this size, so σ of shape (B,) cannot fit one by chance.
    count = next(size for size in range(2, 100) if size not in denoiser.shape)
    x = np.full((count, *denoiser.shape), 0.5, np.float32)
    sigma = np.full(count, denoiser.data_std, np.float32)
    np.clip(sigma, denoiser.sigma_min, denoiser.sigma_max, out=sigma)
    given, name = x.copy(), type(denoiser).__name__
    try:
        found = denoiser(x, sigma)
    except Exception as error:  # a user's function can raise anything
        if "OutOfMemory" in type(error).__name__:  # torch's RuntimeError; torch is not imported here
            raise
        raise ValueError(
            f"the denoiser {name} must take arrays x of shape {x.shape} and sigma of shape ({count},), a level "
            f"for each latent: {told(error)}"
        ) from None
    floating = isinstance(found, np.ndarray) and np.issubdtype(found.dtype, np.floating)
    if not floating or found.shape != x.shape:
        got = f"{found.dtype} of shape {found.shape}" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
        raise ValueError(
            f"the denoiser {name} must return a numpy array of floats of the shape of x, {x.shape}, got {got} "
            f"(for a function of torch tensors, use art_gym.denoisers.from_callable)"
        )
    if not np.array_equal(x, given):
        raise ValueError(f"the denoiser {name} changes its argument x in place: make it return a new array")
    before = found.copy()
    denoiser(x / 2, sigma)
    if not np.array_equal(found, before, equal_nan=True):
        raise ValueError(f"the denoiser {name} overwrites its earlier output: make it return a new array")


# Keys are identities, because a user's object may have no hash. Values are weak, because a model may fill a GPU.
_called: WeakValueDictionary[int, Denoiser] = WeakValueDictionary()


def check_call_once(denoiser: Denoiser) -> None:
    """Run `check_call` only once per denoiser object, because it costs two calls of D."""
    if _called.get(id(denoiser)) is not denoiser:
        check_call(denoiser)
        with suppress(TypeError):  # an object without weak references is checked each time
            _called[id(denoiser)] = denoiser
