"""The state of E environments with N latents each, and the change in one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class State(NamedTuple):
    """Everything that the next step depends on. A step makes new arrays and never writes to these.

    Attributes:
        x: (E, N, *shape) float32, the latents at σ.
        denoised: (E, N, *shape) D(x, σ); x itself at σ = 0.
        previous_denoised: (E, N, *shape) D before the last step.
        sigma: (E,) float64.
        previous_sigma: (E,) σ before the last step; ∞ at the start of an episode.
        step: (E,) int64, steps taken.
        num_steps: (E,) int64, the budget K.
        grid: (E, K_max) levels so far, σ_0 first; NaN for those to come. The final 0 is not among them.
        log_sigma: (E,) log σ, scaled to 1 at σ_max and 0 at σ_min; 0 at σ = 0 too.
        log_grid: (E, K_max) float32, log σ of all levels so far, scaled in the same way; −1 for those to come.
        noise: (E, N) int64, rows of the noise bank.
        told: (E, K_max) factors on the levels that the model is told, 1 where none is chosen yet. (E, 0) if actions
            choose step sizes only.
        weights: (E, K_max, M) weights of the steps so far; (E, 0, 0) likewise. If actions choose the guidance, M is 1
            and it is that.
        earlier: (E, M − 1, N, *shape) D two steps ago and before; (E, 0) likewise.
    """

    x: np.ndarray
    denoised: np.ndarray
    previous_denoised: np.ndarray
    sigma: np.ndarray
    previous_sigma: np.ndarray
    step: np.ndarray
    num_steps: np.ndarray
    grid: np.ndarray
    log_sigma: np.ndarray
    log_grid: np.ndarray
    noise: np.ndarray
    told: np.ndarray
    weights: np.ndarray
    earlier: np.ndarray

    def take(self, lanes: np.ndarray) -> State:
        """The state of some environments only. ``lanes`` is an index array or a mask."""
        return State(*(array[lanes] for array in self))

    def put(self, lanes: np.ndarray, other: State) -> State:
        """A copy in which ``other`` replaces the state of some environments."""
        merged = State(*(array.copy() for array in self))
        for array, part in zip(merged, other, strict=True):
            array[lanes] = part
        return merged

    def with_denoised(self, denoised: np.ndarray) -> State:
        """The same state with D(x, σ) filled in."""
        return State(self.x, denoised, *self[2:])  # _replace takes three times as long


class Landing(NamedTuple):
    """The L environments that landed on 0 in a step.

    Attributes:
        state: their state.
        errors: (L, N) distances to the precise endpoints.
        reference_errors: (L, N) the same for EDM's grid with the same budget on the same noises.
    """

    state: State
    errors: np.ndarray
    reference_errors: np.ndarray


class Transition(NamedTuple):
    """One step of E environments.

    Attributes:
        before: state in which the agent acted.
        after: the next state, D not yet computed.
        landed: (E,) whether this was the step to 0.
        landing: the environments that landed; None if none did.
    """

    before: State
    after: State
    landed: np.ndarray
    landing: Landing | None

    def on_landed(self, value: Callable[[Landing], np.ndarray], elsewhere: float) -> np.ndarray:
        """(E,): ``value(landing)`` in the environments that landed, ``elsewhere`` in the others."""
        result = np.empty(len(self.landed))
        result.fill(elsewhere)  # half the time of np.full, which matters with one environment
        if self.landing is not None:
            result[self.landed] = value(self.landing)
        return result
