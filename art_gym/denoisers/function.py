"""A plain function as a denoiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from art_gym.denoisers.base import SIGMA_MAX, SIGMA_MIN, Array
from art_gym.denoisers.checks import check_denoiser


@dataclass(frozen=True)
class FunctionDenoiser:
    """A plain function ``function(x, sigma)`` as a denoiser.

    Args:
        function: maps x (B, *shape) and sigma (B,) to the denoised estimate (B, *shape).
        shape: shape of one latent.
        sigma_min, sigma_max: the noise range that the function is valid for.
        data_std: standard deviation of the data.
        fingerprint: names the function's weights. Without it nothing is cached on disk.

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
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))  # numpy's int changes cache keys

    def __call__(self, x: Array, sigma: Array) -> Array:
        return self.function(x, sigma)
