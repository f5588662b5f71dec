"""Noise levels of models with discrete timesteps, for adapters and exports."""

from __future__ import annotations

from typing import Any

import numpy as np

from art_gym.common.messages import short

# If the terminal SNR is zero, schedulers that divide by ᾱ (Euler, DPM-Solver) replace ᾱ = 0 by this value. Others
# (DDPM, DDIM) keep 0. Only the values above are the same in all schedulers, and their levels increase to the end.
VP_LEAST = 2**-24  # ᾱ of σ = 4096
LARGEST = 2**20  # of a flow model's training timesteps
FLOW_LARGEST = 0.999  # pure noise has s = 1, where σ = s/(1 − s) is infinite


def flow_sigmas(steps: int) -> np.ndarray:
    """Return (2,) the smallest and largest noise level σ = s/(1 − s) of a flow model trained at ``steps`` times s."""
    if type(steps) is not int or not 2 <= steps < LARGEST:
        raise ValueError(f"num_train_timesteps of a flow model must be a whole number from 2, got {short(steps)}")
    times = np.array([1 / steps, FLOW_LARGEST])
    sigmas: np.ndarray = times / (1 - times)
    return sigmas


def edm_data(scheduler: Any) -> float | None:
    """Return the standard deviation of the data for which a network is preconditioned as EDM's are. None for others.

    Such networks take x / √(σ² + data²) and give F of D = (data² x + data σ F √(σ² + data²)) / (σ² + data²).
    """
    named = type(scheduler).__name__.startswith(("EDM", "ART"))
    found = scheduler.config.get("sigma_data") if named else None
    return None if found is None else float(found)


def knows_all_levels(scheduler: Any) -> bool:
    """Whether the model is called at ¼ log σ instead of at a timestep, as Stable Video Diffusion and EDM's are."""
    config = scheduler.config
    return edm_data(scheduler) is not None or (config.get("timestep_type"), config.get("prediction_type")) == (
        "continuous",
        "v_prediction",
    )


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
        return _checked(np.array(ends, np.float64), scheduler)
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None:
        raise ValueError(
            f"{type(scheduler).__name__} has no table of noise levels (alphas_cumprod): choose a scheduler with "
            f"discrete timesteps, such as DDPM, DDIM, EulerDiscrete or DPMSolverMultistep, or for flow_prediction a "
            f"FlowMatch scheduler"
        )
    signal = np.asarray(table, np.float64)
    if not np.isfinite(signal).all():
        raise _no_table(scheduler, signal)
    signal = signal[signal > VP_LEAST]
    with np.errstate(invalid="ignore"):  # of a negative square, refused below
        return _checked(np.sqrt((1 - signal) / signal), scheduler)


def _checked(sigmas: np.ndarray, scheduler: Any) -> np.ndarray:
    """The levels. Raises a ValueError unless there are two or more, positive, finite and increasing."""
    if len(sigmas) < 2 or not (np.isfinite(sigmas).all() and sigmas[0] > 0 and (np.diff(sigmas) > 0).all()):
        raise _no_table(scheduler, sigmas)
    return sigmas


def _no_table(scheduler: Any, found: np.ndarray) -> ValueError:
    name, shown = type(scheduler).__name__, short(found.tolist())
    return ValueError(
        f"{name} gives no noise levels that increase from above 0, got {shown}: check "
        f"num_train_timesteps and the betas in its configuration"
    )


def fractional_timesteps(sigmas: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Timesteps of noise levels, interpolated in log σ as diffusers does. Levels outside the table get its ends."""
    timesteps: np.ndarray = np.interp(np.log(sigmas), np.log(table), np.arange(len(table)))
    return timesteps
