"""The clock's coordinate: where a noise level stands between σ_max (position 0) and 0 (position 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from art_gym.denoisers.base import Denoiser


@dataclass(frozen=True)
class Clock:
    """τ = arctan(σ/s), reversed and normalised to [0, 1].

    In this coordinate the optimal speed θ* stays within an order of magnitude; in σ itself it spans a factor of 4,000.

    Attributes:
        sigma_min, sigma_max: the noise range.
        scale: s, the data's standard deviation.
    """

    sigma_min: float
    sigma_max: float
    scale: float

    @classmethod
    def of(cls, denoiser: Denoiser) -> Clock:
        """The clock of a denoiser."""
        return cls(float(denoiser.sigma_min), float(denoiser.sigma_max), float(denoiser.data_std))

    @property
    def length(self) -> float:
        """Arctan(σ_max/s), the whole range of τ."""
        return math.atan(self.sigma_max / self.scale)

    def position(self, sigma: torch.Tensor) -> torch.Tensor:
        """Position of noise levels."""
        return 1 - torch.atan(sigma / self.scale) / self.length

    def sigma(self, position: torch.Tensor) -> torch.Tensor:
        """Noise level at positions; exactly σ_max at 0, and 0 at 1."""
        return self.scale * torch.tan(self.length * (1 - position))
