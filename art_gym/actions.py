"""Action maps: from an action in [−1, 1] to the next noise level. All work on E environments at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.parts import get_part
from art_gym.schedules.grids import make_grid

STEP_MARGIN = 1e-4  # smallest relative step: a grid decreases strictly whatever the actions


class ActionMap(Protocol):
    """Maps actions to levels.

    Called with (E,) arrays: action in [−1, 1], σ, the number of the step (from 0) and the budget K of each environment;
    returns the proposed next level. The core keeps it between the lowest level and the present one.
    """

    def __call__(
        self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, num_steps: np.ndarray, denoiser: Denoiser
    ) -> np.ndarray: ...


@dataclass(frozen=True)
class FractionMap:
    """The fraction of the remaining log-noise range that this step covers.

    fraction = sigmoid(logit(1/m) + sharpness · a) with m steps left: a = 0 throughout gives equal steps in log σ that
    would meet σ_min with the step that lands on 0.
    """

    sharpness: float = 3.0

    def __call__(
        self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, num_steps: np.ndarray, denoiser: Denoiser
    ) -> np.ndarray:
        odds = np.exp(self.sharpness * action)
        fraction = odds / (num_steps - step - 1 + odds)  # logit(1/m) = −log(m − 1)
        return sigma * (denoiser.sigma_min / sigma) ** fraction


@dataclass(frozen=True)
class SpeedMap:
    """The paper's control: the clock speed θ = dτ/dt in a coordinate τ of σ, on a clock of K equal ticks.

    θ = exp(sharpness · a) · (what is left of τ) / (what is left of t): a = 0 throughout is uniform in τ.

    Attributes:
        coordinate: "arctan" for arctan(σ/s) with s the data's standard deviation, "log" for log σ, "sigma" for σ
            itself, "rho7" for σ^{1/7}.
        sharpness: range of log θ.
    """

    coordinate: str = "arctan"
    sharpness: float = 2.0

    def __post_init__(self) -> None:
        if self.coordinate not in ("arctan", "log", "sigma", "rho7"):
            raise ValueError(f"unknown coordinate {self.coordinate!r}: choose arctan, log, sigma or rho7")

    def __call__(
        self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, num_steps: np.ndarray, denoiser: Denoiser
    ) -> np.ndarray:
        scale, floor = denoiser.data_std, denoiser.sigma_min
        share = np.minimum(np.exp(self.sharpness * action) / (num_steps - step), 1.0)  # of the τ that is left
        if self.coordinate == "arctan":
            return scale * np.tan(np.arctan(sigma / scale) * (1 - share))
        if self.coordinate == "log":
            return sigma * (floor / sigma) ** share
        if self.coordinate == "rho7":
            return (sigma ** (1 / 7) * (1 - share) + floor ** (1 / 7) * share) ** 7
        return sigma * (1 - share)


@dataclass(frozen=True)
class DeviationMap:
    """A deviation from a base grid, log σ_next = log base_{k+1} + width · a: no step shifts those after it.

    Attributes:
        base: name of a hand-made grid, with its published parameters.
        width: range of the deviation in log σ.
    """

    base: str = "arctan"
    width: float = 1.5

    def __call__(
        self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, num_steps: np.ndarray, denoiser: Denoiser
    ) -> np.ndarray:
        levels = np.empty(len(sigma))
        for budget in np.unique(num_steps):
            lanes = num_steps == budget
            levels[lanes] = make_grid(self.base, int(budget), denoiser)[step[lanes] + 1]
        return levels * np.exp(self.width * action)


ACTIONS: dict[str, ActionMap] = {
    "fraction": FractionMap(),
    "deviation": DeviationMap(),
    **{f"speed_{coordinate}": SpeedMap(coordinate) for coordinate in ("arctan", "log", "sigma", "rho7")},
}


def get_action(action: str | ActionMap) -> ActionMap:
    """The map of that name, or text (`art_gym.parts`); an object is handed back. Raises as `parts.get_part`."""
    return get_part("action", "action map", action, ACTIONS)


def bounded(proposed: np.ndarray, sigma: np.ndarray, steps_after: np.ndarray, denoiser: Denoiser) -> np.ndarray:
    """Keep (E,) proposed levels below σ, and high enough that the positive steps still to come can decrease too."""
    floor = denoiser.sigma_min * np.exp(math.log1p(STEP_MARGIN) * steps_after)
    return np.minimum(np.maximum(proposed, floor), sigma / (1 + STEP_MARGIN))
