"""The paper's control: a clock speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.common.messages import short
from art_gym.denoisers.base import Denoiser
from art_gym.envs.actions.base import action_map

COORDINATES = ("arctan", "log", "sigma", "rho7")


@action_map(**{f"speed_{coordinate}": {"coordinate": coordinate} for coordinate in COORDINATES})
@dataclass(frozen=True)
class SpeedMap:
    """The paper's control: the clock speed θ = dτ/dt in a coordinate τ of σ, on a clock of K equal ticks.

    θ = exp(sharpness · a) · (remaining τ) / (remaining t). a = 0 at every step is uniform in τ.

    Attributes:
        coordinate: "arctan" for arctan(σ/s) with s the data's standard deviation, "log" for log σ, "sigma" for σ
            itself, "rho7" for σ^{1/7}.
        sharpness: range of log θ.
    """

    coordinate: str = "arctan"
    sharpness: float = 2.0

    def __post_init__(self) -> None:
        if self.coordinate not in COORDINATES:
            raise ValueError(f"unknown coordinate {short(self.coordinate)}: choose one of {', '.join(COORDINATES)}")

    def __call__(
        self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, num_steps: np.ndarray, denoiser: Denoiser
    ) -> np.ndarray:
        scale, floor = denoiser.data_std, denoiser.sigma_min
        share = np.minimum(np.exp(self.sharpness * action) / (num_steps - step), 1.0)  # of the remaining τ
        proposed: np.ndarray
        if self.coordinate == "arctan":
            proposed = scale * np.tan(np.arctan(sigma / scale) * (1 - share))
        elif self.coordinate == "log":
            proposed = sigma * (floor / sigma) ** share
        elif self.coordinate == "rho7":
            proposed = (sigma ** (1 / 7) * (1 - share) + floor ** (1 / 7) * share) ** 7
        else:
            proposed = sigma * (1 - share)
        return proposed
