"""Hand-made grids of K steps: K positive levels from σ_max down to a last one, then 0.

A grid is a curve from u ∈ [0, 1] to σ, read off at equal steps of u. With a given last positive level, the K levels run
from σ_max to it, and 0 is appended. With ``last=None``, for curves that reach 0, the K equal steps run to 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from art_gym.common.limits import MAX_STEPS, check_whole
from art_gym.common.messages import short
from art_gym.common.registry import Registry
from art_gym.denoisers.base import Denoiser

# curve(u, high, low, shape): σ at u, which is `high` at u = 0 and `low` at u = 1
Curve = Callable[[np.ndarray, float, float, float], np.ndarray]


@dataclass(frozen=True)
class Grid:
    """A family of hand-made grids with two optional parameters, the last positive level and the shape.

    Attributes:
        name: key in `GRIDS`.
        curve: the map from u to σ.
        shape: published value of the shape parameter. None if it has none, "data_std" for the data's std.
        reaches_zero: whether the K equal steps of the published grid run to 0, so that it has no last positive level.
    """

    name: str
    curve: Curve
    shape: float | str | None
    reaches_zero: bool

    def published(self, denoiser: Denoiser) -> tuple[float | None, float | None]:
        """The parameters (last, shape) as published, for this denoiser's noise range and data."""
        shape = denoiser.data_std if isinstance(self.shape, str) else self.shape
        return (None if self.reaches_zero else denoiser.sigma_min), shape

    def levels(self, num_steps: int, sigma_max: float, last: float | None, shape: float | None) -> np.ndarray:
        """Return the (K+1,) levels. ``last`` is the last positive one, or None for K equal steps to 0."""
        if num_steps == 1:
            return np.array([sigma_max, 0.0])
        stop = 0.0 if last is None else last
        count = num_steps + 1 if last is None else num_steps
        values = self.curve(np.linspace(0, 1, count), sigma_max, stop, 0.0 if shape is None else shape)
        levels = np.concatenate([values[:num_steps], [0.0]])
        levels[0] = sigma_max
        if last is not None:
            levels[num_steps - 1] = last
        return levels


class Family(Protocol):
    """The interface of a registered grid with two parameters."""

    @property
    def name(self) -> str: ...

    def published(self, denoiser: Denoiser) -> tuple[float | None, float | None]:
        """The two parameters as published, for this denoiser's noise range and data."""

    def levels(self, num_steps: int, sigma_max: float, first: Any, second: Any, /) -> np.ndarray:
        """The (K+1,) levels with these parameters."""


GRIDS: Registry[Family] = Registry("grid", "art_gym.schedules.grids")


def grid(name: str, shape: float | str | None, reaches_zero: bool) -> Callable[[Curve], Curve]:
    """Register a curve as a grid. The arguments are those of `Grid`."""

    def decorate(curve: Curve) -> Curve:
        GRIDS.add(name, Grid(name, curve, shape, reaches_zero))
        return curve

    return decorate


def get_grid(name: str) -> Family:
    """The family of that name. Raises a ValueError that lists the names."""
    return GRIDS.find(name)


def make_grid(name: str, num_steps: int, denoiser: Denoiser, *parameters: float | None) -> np.ndarray:
    """Return the (K+1,) levels of a named grid over the denoiser's noise range.

    With very many steps a published curve to 0 would fall below σ_min. Those levels are raised to just above σ_min.

    Args:
        name: a key of `GRIDS`.
        num_steps: K.
        denoiser: gives σ_max, σ_min and the data's standard deviation.
        parameters: the two parameters of the family. None means the published value, and so does leaving both out. Your
            own last level may be below σ_min.

    Raises:
        ValueError: for an unknown name, a K that is not a whole number from 1 to 1000, or parameters with levels that
            do not fall from σ_max to 0.
    """
    family = get_grid(name)
    num_steps = check_whole("num_steps of a grid", num_steps, 1, MAX_STEPS)
    if isinstance(denoiser, str):
        raise ValueError(
            f"a grid needs the denoiser itself, got {short(denoiser)}: pass art_gym.get_task({short(denoiser)})"
        )
    if len(parameters) not in (0, 2):
        raise ValueError(f"a grid has two parameters, None for the published value, got {short(parameters)}")
    published = family.published(denoiser)
    first, second = (
        own if given is None else given for given, own in zip(parameters or published, published, strict=True)
    )
    try:
        levels = family.levels(num_steps, denoiser.sigma_max, first, second)
    except (ArithmeticError, ValueError) as error:  # from a logarithm or a quotient
        raise ValueError(f"grid {short(name)} cannot have the parameters {short((first, second))}: {error}") from None
    if not (np.isfinite(levels).all() and (np.diff(levels) < 0).all()):
        raise ValueError(
            f"grid {short(name)} with parameters {short((first, second))} does not decrease: {short(levels)}"
        )
    if not parameters and levels[-2] < denoiser.sigma_min * (1 - 1e-9):
        levels[:-1] = np.maximum(levels[:-1], denoiser.sigma_min * np.linspace(1.001, 1, num_steps))
    return levels


def edm_grid(num_steps: int, denoiser: Denoiser) -> np.ndarray:
    """Return the reference grid of all scores: that of EDM's own sampler, ρ = 7 to σ_min, then 0."""
    return make_grid("edm", num_steps, denoiser)
