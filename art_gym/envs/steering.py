"""What the core does where actions choose more of a step than its size."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.envs.actions.guidance import GuidanceMap
from art_gym.envs.actions.sampler import SamplerMap, Steering
from art_gym.envs.state import State
from art_gym.samplers.coefficients import mix


def memory_of(action_map: object, count: int, max_steps: int, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """The state's told, weights and earlier at the start of E episodes with (N, *shape) latents."""
    if isinstance(action_map, GuidanceMap):
        return np.empty((count, 0)), np.ones((count, max_steps, 1)), np.empty((count, 0))
    if not isinstance(action_map, SamplerMap):
        return np.empty((count, 0)), np.empty((count, 0, 0)), np.empty((count, 0))
    weights = action_map.memory - 1
    earlier = np.zeros((count, max(weights - 1, 0), *shape), np.float32)
    return np.ones((count, max_steps)), np.zeros((count, max_steps, weights)), earlier


def level_told(state: State) -> np.ndarray:
    """(E,) the level that the model is told in the call at the present state."""
    if not state.told.shape[1]:
        return state.sigma
    at = np.minimum(state.step, state.told.shape[1] - 1)
    told: np.ndarray = state.sigma * state.told[np.arange(len(at)), at]
    return told


def mixed(state: State, weights: np.ndarray) -> np.ndarray:
    """(E, N, *shape) D + Σ_i w_i (D_{−i} − D_{−i−1}), the estimate that a step goes to."""
    known = [state.denoised, state.previous_denoised, *np.moveaxis(state.earlier, 1, 0)]
    shape = len(weights), *[1] * (state.denoised.ndim - 1)
    found: np.ndarray = mix(known, (weight.reshape(shape) for weight in weights.T.astype(np.float32)))
    return found


def guided(state: State, weights: np.ndarray, denoiser: Denoiser) -> State:
    """The state with D guided by (E,) weights, which are noted as those of this step."""
    noted = state.weights.copy()
    noted[np.arange(len(weights)), state.step, 0] = weights
    denoised: np.ndarray = denoiser.guided(state.denoised, weights)  # type: ignore[attr-defined]
    return state._replace(denoised=denoised, weights=noted)


def remembered(state: State, steering: Steering) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The state's told, weights and earlier after a step."""
    lanes, told, weights = np.arange(len(state.step)), state.told.copy(), state.weights.copy()
    (going_on,) = (state.step + 1 < told.shape[1]).nonzero()
    told[going_on, state.step[going_on] + 1] = steering.told_next[going_on]
    weights[lanes, state.step] = steering.weights
    earlier = state.earlier
    if earlier.shape[1]:
        earlier = np.concatenate([state.previous_denoised[:, None], earlier[:, :-1]], axis=1)
    return told, weights, earlier
