"""A schedule as arguments of a diffusers scheduler or pipeline, so that it uses the levels of the schedule.

    pipe(prompt, **diffusers_arguments(schedule, pipe.scheduler))

This module does not import diffusers. It recognises a scheduler by its class name and its configuration.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np

from art_gym.denoisers.base import check_levels
from art_gym.denoisers.variance_preserving import flow_sigmas, fractional_timesteps, vp_sigmas
from art_gym.export.replacement import replacement
from art_gym.schedules.schedule import Schedule

REPLACES = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
MOVES = ("shift_terminal", "use_dynamic_shifting", "invert_sigmas")
TAKES = "EulerDiscrete (sigmas), DPMSolverMultistep or HeunDiscrete (timesteps), FlowMatchEulerDiscrete"
SAMPLES_WITH = {  # schedulers, and the solver of ours that each one runs
    "EulerDiscreteScheduler": "euler",
    "FlowMatchEulerDiscreteScheduler": "euler",
    "HeunDiscreteScheduler": "heun",
}
# Those that take custom levels and draw noise at every step.
STOCHASTIC = ("DDPMScheduler", "DDPMParallelScheduler", "LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler")
MADE_WITH = {  # our solvers, and the scheduler to make for each one
    "euler": "EulerDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
}
CLIPS = ("thresholding", "clip_sample")
MULTISTEP = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}  # this is dpmpp_2m


def diffusers_arguments(schedule: Schedule, scheduler: Any) -> dict[str, Any]:
    """Keyword arguments for ``scheduler.set_timesteps``, and for pipelines that pass them on.

    They depend on the parameters of the scheduler's ``set_timesteps``:

    - ``sigmas`` and ``timesteps`` (EulerDiscreteScheduler): ``sigmas`` with the trailing 0, as it expects.
    - ``timesteps`` (DPMSolverMultistepScheduler, HeunDiscreteScheduler, DDPMScheduler): the nearest integers. If two
      levels fall on one timestep, one is left out, with a warning.
    - ``sigmas`` of a flow (FlowMatchEulerDiscreteScheduler, UniPC with flow sigmas): s = σ/(1 + σ) without the trailing
      0. The scheduler's shift is undone, because it applies the shift to custom sigmas again.

    It warns about a scheduler with another solver than the schedule was found for, because errors of different solvers
    cancel at different levels. It also warns if only one of the two is for flow models (``flow=True`` in the schedule).
    The levels are the same in either scaling of the signal, but the model is not.

    Args:
        schedule: levels in the variance-exploding convention, for flow models too.
        scheduler: a diffusers scheduler.

    Raises:
        ValueError: for a scheduler that takes no custom levels, for a setting that would change them (the message names
            it), and for levels outside the noise range that its model was trained on.
    """
    arguments = _arguments(schedule, scheduler)
    _warn_of_another_solver(schedule, scheduler)  # not if the scheduler was refused
    _warn_of_another_kind(schedule, scheduler)
    return arguments


def _arguments(schedule: Schedule, scheduler: Any) -> dict[str, Any]:
    name, config = type(scheduler).__name__, scheduler.config
    for option in (*REPLACES, *MOVES):
        if getattr(config, option, None):
            remedy = _remedy(schedule, scheduler, "make one without it")
            raise ValueError(f"{name} replaces or changes custom levels when {option} is set: {remedy}")
    if getattr(config, "final_sigmas_type", "zero") != "zero":
        remedy = _remedy(schedule, scheduler, "make it with final_sigmas_type='zero'")
        raise ValueError(
            f"{name} with final_sigmas_type={config.final_sigmas_type!r} does not end at level 0: {remedy}"
        )
    accepted = inspect.signature(scheduler.set_timesteps).parameters
    if _samples_flows(name, config):
        if "sigmas" not in accepted or "stage_index" in accepted:  # Helios cuts its levels into stages
            remedy = _remedy(schedule, scheduler, "choose FlowMatchEulerDiscrete or UniPC")
            raise ValueError(f"{name} takes no custom levels for flow models: {remedy}")
        least, largest = flow_sigmas(config.num_train_timesteps)
        check_levels(np.array(schedule.sigmas), least, largest, f"{name}'s flow")
        shift = float(getattr(scheduler, "shift", None) or getattr(config, "flow_shift", None) or 1.0)
        return {"sigmas": _unshifted(np.array(schedule.sigmas[:-1]), shift)}
    if "timesteps" not in accepted:
        raise ValueError(f"{name} takes no custom levels: {_remedy(schedule, scheduler, f'choose {TAKES}')}")
    table = vp_sigmas(scheduler)
    check_levels(np.array(schedule.sigmas), table[0], table[-1], f"{name}'s table")
    if "sigmas" in accepted:
        return {"sigmas": list(schedule.sigmas)}
    return {"timesteps": discrete_timesteps(np.array(schedule.sigmas[:-1]), table)}


def _remedy(schedule: Schedule, scheduler: Any, otherwise: str) -> str:
    """What to do in place of a scheduler that cannot use our levels."""
    found = replacement(schedule, scheduler)
    return otherwise if found is None else f"sample with {found}, which is in art_gym.export"


def _samples_flows(name: str, config: Any) -> bool:
    return name.startswith("FlowMatch") or getattr(config, "use_flow_sigmas", False)


def _warn_of_another_kind(schedule: Schedule, scheduler: Any) -> None:
    name, config = type(scheduler).__name__, scheduler.config
    if schedule.flow == _samples_flows(name, config):
        return
    found = "was found for" if schedule.flow else "does not say (flow=True) that it was found for"
    samples = "samples other models" if schedule.flow else "samples those"
    warnings.warn(
        f"the schedule {found} a flow model, but {name} with these settings {samples}: its gain may be lost",
        stacklevel=3,
    )


def _warn_of_another_solver(schedule: Schedule, scheduler: Any) -> None:
    name, config = type(scheduler).__name__, scheduler.config
    solver = SAMPLES_WITH.get(name, "another solver")
    if name == "DPMSolverMultistepScheduler" and all(getattr(config, key) == value for key, value in MULTISTEP.items()):
        solver = "dpmpp_2m"
    random = _draws_noise(name, config)
    if random or schedule.solver not in (None, solver):
        found = f"was found for {schedule.solver}" if schedule.solver else "was found without noise between steps"
        does = "draws noise at every step" if random else f"samples with {solver}"
        made = None if _samples_flows(name, config) else MADE_WITH.get(schedule.solver or "")
        otherwise = f"make a {made} from its config" if made else "learn for euler or dpmpp_2m"
        other = _remedy(schedule, scheduler, otherwise)
        warnings.warn(
            f"the schedule {found}, but {name} with these settings {does}: its gain may be lost, so {other}",
            stacklevel=3,
        )
    # A config may hold options of another scheduler, which this one does not know and ignores.
    known = inspect.signature(type(scheduler).__init__).parameters
    changes = [option for option in CLIPS if option in known and getattr(config, option, False)]
    if schedule.solver and changes:
        warnings.warn(
            f"{name} changes what the model predicts when {' and '.join(changes)} is set, but the schedule was found "
            f"without it: its gain may be lost",
            stacklevel=3,
        )


def _draws_noise(name: str, config: Any) -> bool:
    sde = str(getattr(config, "algorithm_type", "")).startswith("sde")
    return name in STOCHASTIC or sde or bool(getattr(config, "stochastic_sampling", False))


def discrete_timesteps(sigmas: np.ndarray, table: np.ndarray) -> list[int]:
    """The nearest integer timesteps, decreasing. Warns if two levels have the same one."""
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
    unshifted: np.ndarray = used / (shift - (shift - 1) * used)  # an array, because UniPC multiplies it
    return unshifted
