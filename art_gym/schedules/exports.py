"""A schedule in the arguments that a diffusers scheduler or pipeline takes, such that the levels used are ours.

    pipe(prompt, **diffusers_arguments(schedule, pipe.scheduler))

No diffusers is imported: a scheduler is known by its class's name and its configuration.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from art_gym.denoisers.variance_preserving import vp_sigmas
from art_gym.schedules.schedule import Schedule


def diffusers_arguments(schedule: Schedule, scheduler: Any) -> dict[str, Any]:
    """Keyword arguments for ``scheduler.set_timesteps`` and for the pipelines that hand them on.

    - EulerDiscreteScheduler: ``sigmas`` with the trailing 0, as it expects.
    - DPMSolverMultistepScheduler, DDIM and other discrete ones: ``timesteps``, the nearest integers; where two levels
      fall on one timestep, one is left out, with a warning.
    - FlowMatchEulerDiscreteScheduler and UniPC with flow sigmas: ``sigmas`` s = σ/(1 + σ) without the trailing 0, with
      the scheduler's own shift undone, since it applies that to custom sigmas again.

    Args:
        schedule: levels in the variance-exploding convention.
        scheduler: a diffusers scheduler.

    Raises:
        ValueError: for a scheduler whose settings would change the levels; the message says which one.
    """
    name, config = type(scheduler).__name__, scheduler.config
    for option in (
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_lu_lambdas",
        "shift_terminal",
    ):
        if getattr(config, option, None):
            raise ValueError(f"{name} replaces or changes custom levels when {option} is set: make it without")
    if name == "EulerDiscreteScheduler":
        return {"sigmas": list(schedule.sigmas)}
    if name.startswith("FlowMatch") or getattr(config, "use_flow_sigmas", False):
        if getattr(config, "use_dynamic_shifting", False):
            raise ValueError(f"{name} shifts custom levels by image size: make it with use_dynamic_shifting=False")
        shift = float(getattr(config, "flow_shift", None) or getattr(config, "shift", None) or 1.0)
        return {"sigmas": _unshifted(np.array(schedule.sigmas[:-1]), shift)}
    if name == "UniPCMultistepScheduler":
        raise ValueError("UniPC takes custom levels only of flow models (use_flow_sigmas=True): use DPMSolverMultistep")
    if getattr(scheduler, "alphas_cumprod", None) is not None:
        return {"timesteps": discrete_timesteps(np.array(schedule.sigmas[:-1]), vp_sigmas(scheduler))}
    raise ValueError(f"no export for {name}: choose EulerDiscrete, DPMSolverMultistep, FlowMatchEulerDiscrete or UniPC")


def fractional_timesteps(sigmas: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Timesteps of noise levels, interpolated in log σ as diffusers does; levels beyond the table get its ends."""
    return np.interp(np.log(sigmas), np.log(table), np.arange(len(table)))


def discrete_timesteps(sigmas: np.ndarray, table: np.ndarray) -> list[int]:
    """The nearest integer timesteps, decreasing; warns where levels fall together."""
    rounded = np.rint(fractional_timesteps(sigmas, table)).astype(int)
    kept = [int(step) for step in dict.fromkeys(rounded.tolist())]
    if len(kept) < len(rounded):
        lost = len(rounded) - len(kept)
        warnings.warn(
            f"{lost} of {len(rounded)} levels fall on the timestep of a neighbour and are left out: "
            f"a scheduler that takes sigmas keeps them",
            stacklevel=3,
        )
    return kept


def _unshifted(sigmas: np.ndarray, shift: float) -> np.ndarray:
    """Levels s with shift·s/(1 + (shift − 1) s) = σ/(1 + σ)."""
    used = sigmas / (1 + sigmas)
    return used / (shift - (shift - 1) * used)  # an array: UniPC multiplies it as it comes
