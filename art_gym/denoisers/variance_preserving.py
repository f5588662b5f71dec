"""Noise levels of models with discrete timesteps, for adapters and exports."""

from __future__ import annotations

from typing import Any

import numpy as np

# If the terminal SNR is zero, schedulers that divide by ᾱ (Euler, DPM-Solver) replace ᾱ = 0 by this value. Others
# (DDPM, DDIM) keep 0. Only the values above are the same in all schedulers, and their levels increase to the end.
VP_LEAST = 2**-24  # ᾱ of σ = 4096
FLOW_LARGEST = 0.999  # pure noise has s = 1, where σ = s/(1 − s) is infinite


def flow_sigmas(steps: int) -> np.ndarray:
    """Return (2,) the smallest and largest noise level σ = s/(1 − s) of a flow model trained at ``steps`` times s."""
    times = np.array([1 / steps, FLOW_LARGEST])
    sigmas: np.ndarray = times / (1 - times)
    return sigmas


def knows_all_levels(scheduler: Any) -> bool:
    """Whether the model is called at ¼ log σ instead of at a timestep, as Stable Video Diffusion is."""
    config = scheduler.config
    return (config.get("timestep_type"), config.get("prediction_type")) == ("continuous", "v_prediction")


def vp_sigmas(scheduler: Any) -> np.ndarray:
    """Return (T,) increasing noise levels σ = √((1 − ᾱ)/ᾱ) of a scheduler's timesteps, below 4096.

    With a zero terminal SNR the last levels are above 4096 and are left out. For a model of all levels, return the (2,)
    ends of its range.

    Raises:
        ValueError: for a scheduler without a table of levels, or without the ends of its range.
    """
    if knows_all_levels(scheduler):
        ends = [scheduler.config.get(name) for name in ("sigma_min", "sigma_max")]
        if None in ends:
            raise ValueError(
                f"{type(scheduler).__name__} has timestep_type='continuous' without sigma_min and sigma_max"
            )
        return np.array(ends, np.float64)
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None:
        raise ValueError(
            f"{type(scheduler).__name__} has no table of noise levels (alphas_cumprod): choose a scheduler with "
            f"discrete timesteps, such as DDPM, DDIM, EulerDiscrete or DPMSolverMultistep, or for flow_prediction a "
            f"FlowMatch scheduler"
        )
    signal = np.asarray(table, np.float64)
    signal = signal[signal > VP_LEAST]
    return np.sqrt((1 - signal) / signal)
