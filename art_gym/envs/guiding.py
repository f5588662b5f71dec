"""What is known of guidance during sampling, as observations."""

from __future__ import annotations

import numpy as np

from art_gym.envs.problem import Problem
from art_gym.envs.state import State

CLASSES = 10


def guidance_names(max_steps: int) -> tuple[str, ...]:
    """One name for each element."""
    classes = (f"class_{i}" for i in range(CLASSES))
    return (*classes, *(f"log_guidance_{k}" for k in range(max_steps)), "direction_rms")


def write_guidance(features: np.ndarray, state: State, problem: Problem, limit: float) -> None:
    """Fill (E, F) with what is known of guidance, clipped to the limit; 0 where a task has no classes.

    The elements are 1 for the class and 0 for the others, log w of each step so far and 0 for steps to come, and the
    RMS of D_class − D₀ over the data's standard deviation.
    """
    features[:] = 0.0
    denoiser = problem.denoiser
    if getattr(denoiser, "guided", None) is None:
        return
    lanes = np.arange(len(features))
    features[lanes, denoiser.condition(state.x[:, 0])] = 1.0  # type: ignore[attr-defined]
    if state.weights.shape[2] and not state.told.shape[1]:  # they are not a sampler's
        features[:, CLASSES:-1] = np.log(state.weights[..., 0])
    direction = denoiser.direction(state.denoised).reshape(len(features), -1)  # type: ignore[attr-defined]
    features[:, -1] = np.sqrt((direction**2).mean(axis=1)) / denoiser.data_std * (state.sigma > 0)
    np.clip(features, -limit, limit, out=features)
