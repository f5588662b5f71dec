"""Actions that choose all of a step: its size, its weights, and the level that the model is told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.envs.actions.base import ActionMap, Wide, action_map, bounded
from art_gym.envs.actions.fraction import FractionMap
from art_gym.envs.state import State
from art_gym.samplers.freedom import Freedom, first_told_of_flow
from art_gym.solvers.base import Previous, Solver

CURVE = 3.0  # of sinh: fine near 0, wide at the ends


class Steering(NamedTuple):
    """What an action chooses for E environments.

    Attributes:
        sigma_next: (E,) proposed next levels.
        weights: (E, M) weights of this step; 0 where there is no memory.
        told_next: (E,) factor on the level that the model is told in the next call.
        told_first: (E,) the same for the first call, which an episode's first step makes.
    """

    sigma_next: np.ndarray
    weights: np.ndarray
    told_next: np.ndarray
    told_first: np.ndarray


@action_map(sampler={}, weights={"memory": 2, "told": False}, told_weights={"memory": 2})
@dataclass(frozen=True)
class SamplerMap(Wide):
    """All of a step (`art_gym.samplers.sampler.Sampler`). 0 in every element is the solver's own step.

    Elements of the action, each in [−1, 1]:

    - the size of the step, as in `FractionMap`;
    - with ``told``: the level that the model is told in the next call, σ · told_range^s(a) within the noise range,
      with s(a) = sinh(3a)/sinh(3);
    - for each earlier estimate, its weight: the solver's own plus most_weight · s(a). In the first step,
      which has no memory, the first of them is the level that the model is told in the first call,
      σ_max · first_range^a, at most σ_max.

    Attributes:
        memory: how many estimates a step combines at most.
        told: whether the told level is chosen.
        sharpness: of the size of the step.
        most_weight, told_range, first_range: the ranges above.

    Raises:
        ValueError: as `Freedom`.
    """

    memory: int = 3
    told: bool = True
    sharpness: float = 4.0
    most_weight: float = 8.0
    told_range: float = 6.0
    first_range: float = 100.0

    def __post_init__(self) -> None:
        _ = self.freedom

    @property
    def freedom(self) -> Freedom:
        """What of a sampler is chosen."""
        return Freedom(self.memory, self.told)

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """One name for each element of an action."""
        told = ["told"] if self.told else []
        return ("size", *told, *(f"weight_{i}" for i in range(1, self.memory)))

    def check(self, solver: Solver) -> None:
        """Raise a ValueError for a solver that is no sampler."""
        if solver.calls_per_step != 1:
            raise ValueError(
                f"action='sampler' needs a solver of one call a step, and {solver.name} makes {solver.calls_per_step}: "
                f"choose euler or dpmpp_2m"
            )
        if solver.name == "drawn":
            raise ValueError("action='sampler' needs one solver to begin with, and drawn is two: choose dpmpp_2m")

    def __call__(self, action: np.ndarray, state: State, solver: Solver, denoiser: Denoiser) -> Steering:
        """Read (E, A) actions; see the class."""
        step, sigma = state.step, state.sigma
        size = FractionMap(self.sharpness)(action[:, 0], sigma, step, state.num_steps, denoiser)
        size = bounded(size, sigma, state.num_steps - step - 2, denoiser)  # the solver's weight depends on the size
        chosen = self.most_weight * _curved(action[:, 1 + self.told :])  # (E, M)
        landing = step + 1 == state.num_steps
        if self.memory > 1:
            chosen[:, 0] += np.where(landing, 0.0, own_weight(solver, sigma, size, state.previous_sigma))
        weights = np.where(np.arange(self.memory - 1) < step[:, None], chosen, 0.0)
        told_next = told_first = np.ones(len(sigma))
        if self.told:
            told_next = np.clip(
                self.told_range ** _curved(action[:, 1]), denoiser.sigma_min / size, denoiser.sigma_max / size
            )
            if self.memory > 1:
                told_first = np.minimum(self.first_range ** action[:, 2], 1.0)
            if (fixed := first_told_of_flow(denoiser)) is not None:
                told_first = np.full(len(sigma), fixed)
        return Steering(size, weights, told_next, told_first)

    def action(self, steering: Steering, state: State, solver: Solver, denoiser: Denoiser) -> np.ndarray:
        """The (E, A) actions that choose this, as near as their range allows. What a landing ignores is 0."""
        step, landing = state.step, state.step + 1 == state.num_steps
        sigma_next = np.where(landing, state.sigma / 2, steering.sigma_next)  # a landing has none
        sigma_next = bounded(sigma_next, state.sigma, state.num_steps - step - 2, denoiser)
        size = FractionMap(self.sharpness).action(sigma_next, state.sigma, step, state.num_steps, denoiser)
        size = np.where(landing, 0.0, size)
        columns = [size]
        if self.told:
            told = _straight(np.log(steering.told_next) / math.log(self.told_range))
            columns.append(np.where(landing, 0.0, told))
        beyond = steering.weights.copy()
        if self.memory > 1:
            beyond[:, 0] -= np.where(
                landing | (step == 0), 0.0, own_weight(solver, state.sigma, sigma_next, state.previous_sigma)
            )
        weights = _straight(beyond / self.most_weight)
        weights = np.where(np.arange(self.memory - 1) < step[:, None], weights, 0.0)
        if self.told and self.memory > 1:
            first = np.log(steering.told_first) / math.log(self.first_range)
            weights[:, 0] = np.where(step == 0, first, weights[:, 0])
        actions: np.ndarray = np.clip(np.column_stack([*columns, weights]), -1, 1)
        return actions


def freedom_of(action: ActionMap | Wide) -> Freedom | None:
    """What of a sampler actions choose; None if they choose step sizes only."""
    return action.freedom if isinstance(action, SamplerMap) else None


def _curved(action: np.ndarray) -> np.ndarray:
    curved: np.ndarray = np.sinh(CURVE * action) / math.sinh(CURVE)
    return curved


def _straight(curved: np.ndarray) -> np.ndarray:
    """The inverse of `_curved`."""
    straight: np.ndarray = np.arcsinh(curved * math.sinh(CURVE)) / CURVE
    return straight


def own_weight(solver: Solver, sigma: np.ndarray, sigma_next: np.ndarray, previous_sigma: np.ndarray) -> np.ndarray:
    """(E,) the solver's own weight of D_k − D_{k−1}, by one step on symbols."""
    count = len(sigma)
    unit = np.zeros((3, count, 3))  # the latents, D and the D before, each a unit vector
    for i in range(3):
        unit[i, :, i] = 1.0
    moved = solver.step(_no_call, unit[0], unit[1], sigma, sigma_next, Previous(unit[2], previous_sigma))
    weight: np.ndarray = -moved[:, 2] / (1 - sigma_next / sigma)
    return weight


def _no_call(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    raise ValueError("a solver of one call a step has made another")
