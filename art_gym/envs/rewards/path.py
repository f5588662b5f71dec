"""A reward at every step, from the distance to the precise path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import visible
from art_gym.envs.problem import Problem
from art_gym.envs.rewards.base import Components, reward
from art_gym.envs.state import State, Transition
from art_gym.measures.errors import endpoint_error
from art_gym.schedules.fine import reference_grid


@reward(path={})
@dataclass(frozen=True)
class PathDistance:
    """Decrease of the distance to the precise path of the same noise. It pays at every step and sums to `Linear`.

    The distance at level σ is in units of √(σ² + s²)/s. Errors shrink by this factor on the way down to the data
    (exactly for N(0, s²)). It is divided by the mean error of EDM's grid. The landing pays the 1 of `Linear`.
    """

    def __call__(self, transition: Transition, problem: Problem) -> tuple[np.ndarray, Components]:
        before, after = (self._distance(state, problem) for state in (transition.before, transition.after))
        scale = problem.mean_reference_error(transition.before.num_steps)
        return (before - after) / scale + transition.landed, {"path_distance": after}

    def _distance(self, state: State, problem: Problem) -> np.ndarray:
        start = ~np.isfinite(state.previous_sigma)
        shrink = problem.denoiser.data_std / np.sqrt(state.sigma**2 + problem.denoiser.data_std**2)
        latents, exact = (visible(x, problem.denoiser, 2) for x in (state.x, _path_at(state, problem)))
        distance = endpoint_error(latents, exact, batch_axes=2).mean(axis=1) * shrink
        return np.where(start, 0.0, distance)


def _path_at(state: State, problem: Problem) -> np.ndarray:
    """(E, N, *shape): the precise path at each environment's σ, linear in σ between the nodes of the fine grid.

    If D is constant, the path is a line in σ. Between neighbouring nodes D hardly changes. σ = 0 is a node.
    """
    grid = reference_grid(problem.denoiser)
    paths = problem.bank.paths(int(state.noise.max()) + 1)
    upper = np.clip(np.searchsorted(-grid, -state.sigma, side="right") - 1, 0, len(grid) - 2)  # (E,)
    high, low = grid[upper], grid[upper + 1]
    share = ((high - state.sigma) / (high - low)).astype(np.float32)  # linear in σ
    share = share.reshape(-1, *[1] * (state.x.ndim - 1))
    first, second = paths[state.noise, upper[:, None]], paths[state.noise, upper[:, None] + 1]
    between: np.ndarray = first + share * (second - first)
    return between
