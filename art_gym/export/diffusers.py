"""A schedule in the arguments that a diffusers scheduler or pipeline takes, such that the levels used are ours.

    pipe(prompt, **diffusers_arguments(schedule, pipe.scheduler))

No diffusers is imported: a scheduler is known by its class's name and its configuration.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np

from art_gym.denoisers.base import check_levels
from art_gym.denoisers.variance_preserving import flow_sigmas, vp_sigmas
from art_gym.schedules.schedule import Schedule

REPLACES = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
MOVES = ("shift_terminal", "use_dynamic_shifting", "invert_sigmas")
TAKES = "EulerDiscrete (sigmas), DPMSolverMultistep or HeunDiscrete (timesteps), FlowMatchEulerDiscrete"
SAMPLES_WITH = {  # our solver of the same name
    "EulerDiscreteScheduler": "euler",
    "FlowMatchEulerDiscreteScheduler": "euler",
    "HeunDiscreteScheduler": "heun",
}
MADE_WITH = {  # of ours
    "euler": "EulerDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
}
CLIPS = ("thresholding", "clip_sample")
MULTISTEP = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}  # is dpmpp_2m


def diffusers_arguments(schedule: Schedule, scheduler: Any) -> dict[str, Any]:
    """Keyword arguments for ``scheduler.set_timesteps`` and for the pipelines that hand them on.

    What a scheduler takes is read from its ``set_timesteps``:

    - ``sigmas`` and ``timesteps`` (EulerDiscreteScheduler): ``sigmas`` with the trailing 0, as it expects.
    - ``timesteps`` (DPMSolverMultistepScheduler, HeunDiscreteScheduler, DDPMScheduler): the nearest integers; where two
      levels fall on one timestep, one is left out, with a warning.
    - ``sigmas`` of a flow (FlowMatchEulerDiscreteScheduler, UniPC with flow sigmas): s = σ/(1 + σ) without the trailing
      0, with the scheduler's own shift undone, since it applies that to custom sigmas again.

    A scheduler that samples with another solver than the schedule was found for gets a warning: errors of different
    solvers cancel elsewhere. So does one of flow models for a schedule that does not say ``flow=True``, and another one
    for a schedule that does: the levels are the same ones in either scaling of the signal, but the model is another.

    Args:
        schedule: levels in the variance-exploding convention, for flow models too.
        scheduler: a diffusers scheduler.

    Raises:
        ValueError: for a scheduler that takes no custom levels, or whose settings would change them (the message says
            which one), and for levels beyond the noise that its model was trained on.
    """
    arguments = _arguments(schedule, scheduler)
    _warn_of_another_solver(schedule, scheduler)  # of one that is not refused
    _warn_of_another_kind(schedule, scheduler)
    return arguments


def _arguments(schedule: Schedule, scheduler: Any) -> dict[str, Any]:
    name, config = type(scheduler).__name__, scheduler.config
    for option in (*REPLACES, *MOVES):
        if getattr(config, option, None):
            raise ValueError(f"{name} replaces or changes custom levels when {option} is set: make it without")
    if getattr(config, "final_sigmas_type", "zero") != "zero":
        raise ValueError(
            f"{name} ends on another level than 0 with final_sigmas_type={config.final_sigmas_type!r}: "
            f"make it with final_sigmas_type='zero'"
        )
    accepted = inspect.signature(scheduler.set_timesteps).parameters
    if _samples_flows(name, config):
        if "sigmas" not in accepted or "stage_index" in accepted:  # Helios cuts its levels into stages of its own
            raise ValueError(f"{name} takes no custom levels for flow models: choose FlowMatchEulerDiscrete or UniPC")
        least, largest = flow_sigmas(config.num_train_timesteps)
        check_levels(np.array(schedule.sigmas), least, largest, f"{name}'s flow")
        shift = float(getattr(scheduler, "shift", None) or getattr(config, "flow_shift", None) or 1.0)
        return {"sigmas": _unshifted(np.array(schedule.sigmas[:-1]), shift)}
    if "timesteps" not in accepted:
        remedy = "make it with use_flow_sigmas=True for a flow model, or " if "sigmas" in accepted else ""
        raise ValueError(f"{name} takes no custom levels: {remedy}choose {TAKES}")
    table = vp_sigmas(scheduler)
    check_levels(np.array(schedule.sigmas), table[0], table[-1], f"{name}'s table")
    if "sigmas" in accepted:
        return {"sigmas": list(schedule.sigmas)}
    return {"timesteps": discrete_timesteps(np.array(schedule.sigmas[:-1]), table)}


def _samples_flows(name: str, config: Any) -> bool:
    return name.startswith("FlowMatch") or getattr(config, "use_flow_sigmas", False)


def _warn_of_another_kind(schedule: Schedule, scheduler: Any) -> None:
    name, config = type(scheduler).__name__, scheduler.config
    if schedule.flow == _samples_flows(name, config):
        return
    found = "was found for" if schedule.flow else "does not say (flow=True) that it was found for"
    samples = "samples other models" if schedule.flow else "samples those"
    warnings.warn(
        f"the schedule {found} a flow model, and {name} as it is set {samples}: what was gained may be lost",
        stacklevel=3,
    )


def _warn_of_another_solver(schedule: Schedule, scheduler: Any) -> None:
    name, config = type(scheduler).__name__, scheduler.config
    solver = SAMPLES_WITH.get(name, "a solver of its own")
    if getattr(config, "stochastic_sampling", False):  # fresh noise at every step
        solver = "a solver of its own"
    if name == "DPMSolverMultistepScheduler" and all(getattr(config, key) == value for key, value in MULTISTEP.items()):
        solver = "dpmpp_2m"
    if schedule.solver not in (None, solver):
        remedy = MADE_WITH.get(schedule.solver or "")
        other = f" (for {schedule.solver}, make a {remedy} from its config)" if remedy else ""
        warnings.warn(
            f"the schedule was found for {schedule.solver}, and {name} as it is set samples with {solver}: what was "
            f"gained may be lost{other}",
            stacklevel=3,
        )
    # Of another scheduler's options that came along in the config it was made from, it knows nothing.
    known = inspect.signature(type(scheduler).__init__).parameters
    changes = [option for option in CLIPS if option in known and getattr(config, option, False)]
    if schedule.solver and changes:
        warnings.warn(
            f"{name} changes what the model predicts when {' and '.join(changes)} is set, and the schedule was found "
            f"without: what was gained may be lost",
            stacklevel=3,
        )


def fractional_timesteps(sigmas: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Timesteps of noise levels, interpolated in log σ as diffusers does; levels beyond the table get its ends."""
    timesteps: np.ndarray = np.interp(np.log(sigmas), np.log(table), np.arange(len(table)))
    return timesteps


def discrete_timesteps(sigmas: np.ndarray, table: np.ndarray) -> list[int]:
    """The nearest integer timesteps, decreasing; warns where levels fall together."""
    rounded = np.rint(fractional_timesteps(sigmas, table)).astype(int)
    kept = [int(step) for step in dict.fromkeys(rounded.tolist())]
    if len(kept) < len(rounded):
        lost = len(rounded) - len(kept)
        warnings.warn(
            f"{lost} of {len(rounded)} levels fall on the timestep of a neighbour and are left out: "
            f"a scheduler that takes sigmas keeps them",
            stacklevel=4,
        )
    return kept


def _unshifted(sigmas: np.ndarray, shift: float) -> np.ndarray:
    """Levels s with shift·s/(1 + (shift − 1) s) = σ/(1 + σ)."""
    used = sigmas / (1 + sigmas)
    unshifted: np.ndarray = used / (shift - (shift - 1) * used)  # an array: UniPC multiplies it as it comes
    return unshifted
