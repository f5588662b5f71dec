"""Actions that choose the size of a step and its guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.envs.actions.base import Wide, action_map
from art_gym.envs.actions.fraction import FractionMap
from art_gym.envs.state import State


class Guided(NamedTuple):
    """What an action chooses for E environments: (E,) proposed next levels and (E,) guidance weights of this step."""

    sigma_next: np.ndarray
    weights: np.ndarray


@action_map(guidance={})
@dataclass(frozen=True)
class GuidanceMap(Wide):
    """The size of the step as in `FractionMap`, and the guidance w of this step: D₀ + w (D_class − D₀).

    w = most^a: 0 is the conditional model itself, 1/most to most is the range. The landing has a guidance too.

    Attributes:
        sharpness: of the size of the step.
        most: the greatest w.
    """

    sharpness: float = 3.0
    most: float = 4.0

    names = ("size", "guidance")

    def check(self, denoiser: Denoiser) -> None:
        """Raise a ValueError for a task without guidance to choose."""
        if getattr(denoiser, "guided", None) is None:
            raise ValueError(
                f"action='guidance' needs a task whose guidance can be chosen, and {type(denoiser).__name__} has none: "
                f"choose task='guidance', or action='fraction'"
            )

    def __call__(self, action: np.ndarray, state: State, denoiser: Denoiser) -> Guided:
        """Read (E, 2) actions; see the class."""
        size = FractionMap(self.sharpness)(action[:, 0], state.sigma, state.step, state.num_steps, denoiser)
        return Guided(size, self.most ** action[:, 1])

    def action(self, guided: Guided, state: State, denoiser: Denoiser) -> np.ndarray:
        """The (E, 2) actions that choose this, as near as their range allows. The size of a landing is 0."""
        landing = state.step + 1 == state.num_steps
        sigma_next = np.where(landing, state.sigma / 2, guided.sigma_next)
        size = FractionMap(self.sharpness).action(sigma_next, state.sigma, state.step, state.num_steps, denoiser)
        guidance = np.log(guided.weights) / np.log(self.most)
        actions: np.ndarray = np.clip(np.column_stack([np.where(landing, 0.0, size), guidance]), -1, 1)
        return actions
