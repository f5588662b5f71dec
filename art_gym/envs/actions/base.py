"""Action maps: from an action in [−1, 1] to the next noise level, for E environments at once."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from art_gym.common.parts import get_part
from art_gym.common.registry import Registry
from art_gym.denoisers.base import Denoiser

STEP_MARGIN = 1e-4  # smallest relative step, so that every grid decreases strictly


class ActionMap(Protocol):
    """Maps actions to levels.

    The arguments are (E,) arrays: the action in [−1, 1], σ, the number of the step (from 0) and the budget K of each
    environment. A map returns the proposed next levels. The core keeps them between the lowest and the present level.
    """

    def __call__(
        self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, num_steps: np.ndarray, denoiser: Denoiser
    ) -> np.ndarray: ...


class Wide:
    """An action map of several numbers. It is called with (E, A) actions and the whole state.

    Attributes:
        names: one for each number.
    """

    names: tuple[str, ...]


ACTIONS: Registry[ActionMap] = Registry("action map", "art_gym.envs.actions")
action_map = ACTIONS.presets  # decorates a frozen dataclass, with names and their field values


def get_action(action: str | ActionMap) -> ActionMap:
    """The map for a name or text (`art_gym.common.parts`). An object is returned as it is. Raises as `get_part`."""
    return get_part("action", action, ACTIONS)


def bounded(proposed: np.ndarray, sigma: np.ndarray, steps_after: np.ndarray, denoiser: Denoiser) -> np.ndarray:
    """Keep (E,) proposed levels below σ, and high enough that the positive levels after them can decrease too."""
    floor = denoiser.sigma_min * np.exp(math.log1p(STEP_MARGIN) * steps_after)
    kept: np.ndarray = np.minimum(np.maximum(proposed, floor), sigma / (1 + STEP_MARGIN))
    return kept
