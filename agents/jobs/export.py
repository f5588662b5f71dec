"""Print schedules in the formats of other programs. Notes that the format cannot hold go to stderr."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np

from art_gym.export.diffusers import diffusers_arguments
from art_gym.schedules.schedule import Schedule

FORMATS = {
    "sigmas": lambda schedule: json.dumps(schedule.to_sigmas()),
    "diffusers": lambda schedule: json.dumps(schedule.to_diffusers()),
    "comfyui": Schedule.to_comfyui,
    "csv": lambda schedule: "\n".join(["step,sigma", *(f"{k},{s!r}" for k, s in enumerate(schedule.sigmas))]),
    "json": Schedule.to_json,
}
COMFYUI_STEPS = {  # for flow models, where its solvers with our names are other methods
    "heun": "ComfyUI's heun steps in s = σ/(1+σ), which is another method: the gain may be lost",
    "dpmpp_2m": "ComfyUI's dpmpp_2m steps in s = σ/(1+σ), which is another method: use its node "
    "SamplerDPMPP_2M_SDE with solver_type midpoint and eta 0, which equals this solver",
}


def exported(file: Path, style: str, num_steps: int | None) -> str:
    """A schedule file in one of `FORMATS`, resampled to another K if you give one."""
    schedule = _resampled(file, num_steps)
    if schedule.flow and style in ("sigmas", "csv"):
        _say_of_flow(file)
    if schedule.flow and style == "comfyui" and schedule.solver in COMFYUI_STEPS:
        _say(f"{file} was found for {schedule.solver}, and with a flow model {COMFYUI_STEPS[schedule.solver]}")
    return FORMATS[style](schedule)


def exported_for(file: Path, scheduler: Path, num_steps: int | None) -> str:
    """The arguments that the diffusers scheduler in a local folder takes, as a JSON object."""
    from ..learn.loading import load_scheduler  # diffusers

    schedule = _resampled(file, num_steps)
    loaded = load_scheduler(scheduler)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)  # from art_gym
        arguments = diffusers_arguments(schedule, loaded)
    for warning in said:
        _say(str(warning.message))
    return json.dumps({key: np.asarray(values).tolist() for key, values in arguments.items()})


def exported_table(folder: Path) -> str:
    """All schedules in a folder as a JSON object of levels by K, like diffusers' AysSchedules.

    Raises:
        ValueError: if the folder holds no schedules, or two with the same K.
    """
    found: dict[int, tuple[Path, Schedule]] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            schedule = Schedule.load(file)
        except ValueError:
            if file.name.startswith("schedule_K"):
                raise
            continue  # a run has other JSON files too
        if schedule.num_steps in found:
            raise ValueError(
                f"{found[schedule.num_steps][0]} and {file} both have {schedule.num_steps} steps, and the table has "
                f"room for one: name one of the files, or move one away"
            )
        found[schedule.num_steps] = file, schedule
    if not found:
        raise ValueError(f"{folder} holds no schedules: train first, or name a schedule file")
    if any(schedule.flow for _, schedule in found.values()):
        _say_of_flow(folder)
    return json.dumps({num_steps: schedule.to_sigmas() for num_steps, (_, schedule) in sorted(found.items())})


def _resampled(file: Path, num_steps: int | None) -> Schedule:
    schedule = Schedule.load(file)
    return schedule if num_steps is None else schedule.resample(num_steps)


def _say_of_flow(file: Path) -> None:
    _say(
        f"{file} is for a flow model, and these are σ: samplers that take s = σ/(1+σ) need --format comfyui, or "
        f"--scheduler FOLDER for those of diffusers"
    )


def _say(text: str) -> None:
    print(f"art-gym: {text}", file=sys.stderr)
