"""Noise levels that models of discrete timesteps know, for adapters and for exports."""

from __future__ import annotations

from typing import Any

import numpy as np

FLOW_LARGEST = 0.999  # s of pure noise is 1, where σ = s/(1 − s) is infinite


def flow_sigmas(steps: int) -> np.ndarray:
    """(2,) the least and the largest noise level σ = s/(1 − s) of a flow model trained at so many times s."""
    times = np.array([1 / steps, FLOW_LARGEST])
    return times / (1 - times)


def vp_sigmas(scheduler: Any) -> np.ndarray:
    """(T,) increasing noise levels σ = √((1 − ᾱ)/ᾱ) of a scheduler's timesteps; a zero terminal SNR is left out.

    Raises:
        ValueError: for a scheduler without such a table.
    """
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None:
        raise ValueError(
            f"{type(scheduler).__name__} has no table of noise levels (alphas_cumprod): choose a scheduler with "
            f"discrete timesteps, such as DDPM, DDIM, EulerDiscrete or DPMSolverMultistep, or for flow_prediction a "
            f"FlowMatch scheduler"
        )
    signal = np.asarray(table, np.float64)
    signal = signal[signal > 1e-8]
    return np.sqrt((1 - signal) / signal)
