"""Print schedules and samplers in the formats of other programs. Notes that a format cannot hold go to stderr."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from art_gym.export.diffusers import diffusers_arguments
from art_gym.samplers.plans import Document, load
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.schedule import Schedule

FORMATS: dict[str, Callable[[Schedule], str]] = {
    "sigmas": lambda schedule: json.dumps(schedule.to_sigmas()),
    "diffusers": lambda schedule: json.dumps(schedule.to_diffusers()),
    "comfyui": Schedule.to_comfyui,
    "csv": lambda schedule: "\n".join(["step,sigma", *(f"{k},{s!r}" for k, s in enumerate(schedule.sigmas))]),
    "json": Schedule.to_json,
}
FOR_SAMPLERS = {  # formats that hold levels alone, and what samples with all of a sampler
    "sigmas": "sample with art_gym.export.k_diffusion_sampler",
    "diffusers": "sample with art_gym.export.ARTScheduler.from_sampler",
    "comfyui": "sample with the nodes in integrations/comfyui",
}
COMFYUI_STEPS = {  # for flow models, where its solvers with our names are other methods
    "heun": "ComfyUI's heun steps in s = σ/(1+σ), which is another method: the gain may be lost",
    "dpmpp_2m": "ComfyUI's dpmpp_2m steps in s = σ/(1+σ), which is another method: use its node "
    "SamplerDPMPP_2M_SDE with solver_type midpoint and eta 0, which equals this solver",
}


def exported(file: Path, style: str, num_steps: int | None, levels_alone: bool = False) -> str:
    """A schedule or sampler file in one of `FORMATS`, resampled to another K if you give one.

    Raises:
        ValueError: for a sampler in a format that holds only its levels, unless you want these alone.
    """
    plan = _read(file, num_steps, levels_alone)
    if isinstance(plan, Sampler) and style in FOR_SAMPLERS:
        raise _only_levels(file, f"--format {style}", f"{FOR_SAMPLERS[style]}, choose --format csv or json")
    if plan.flow and style in ("sigmas", "csv"):
        _say_of_flow(file, plan)
    if isinstance(plan, Sampler):
        return plan.to_json() if style == "json" else _sampler_csv(plan)
    if plan.flow and style == "comfyui" and plan.solver in COMFYUI_STEPS:
        _say(f"{file} was found for {plan.solver}, and with a flow model {COMFYUI_STEPS[plan.solver]}")
    return FORMATS[style](plan)


def exported_for(file: Path, scheduler: Path, num_steps: int | None, levels_alone: bool = False) -> str:
    """The arguments that the diffusers scheduler in a local folder takes, as a JSON object.

    Raises:
        ValueError: for a sampler, since they hold only its levels, unless you want these alone.
    """
    plan = _read(file, num_steps, levels_alone)
    if isinstance(plan, Sampler):
        raise _only_levels(file, "a scheduler's set_timesteps", FOR_SAMPLERS["diffusers"])

    from ..learn.loading import load_scheduler  # diffusers

    loaded = load_scheduler(scheduler)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)  # from art_gym
        arguments = diffusers_arguments(plan, loaded)
    for warning in said:
        _say(str(warning.message))
    return json.dumps({key: np.asarray(values).tolist() for key, values in arguments.items()})


def exported_table(folder: Path, levels_alone: bool = False) -> str:
    """All schedules in a folder as a JSON object of levels by K, like diffusers' AysSchedules.

    Raises:
        ValueError: if the folder holds no schedules, or two with the same K; or for a sampler, unless you want its
            levels alone.
    """
    found: dict[int, tuple[Path, Document]] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            plan = load(file)
        except ValueError:
            if file.name.startswith(("schedule_K", "sampler_K")):
                raise
            continue  # a run has other JSON files too
        if isinstance(plan, Sampler) and not levels_alone:
            raise _only_levels(file, "the table of a folder", "name the file")
        if plan.num_steps in found:
            raise ValueError(
                f"{found[plan.num_steps][0]} and {file} both have {plan.num_steps} steps, and the table has room for "
                f"one: name one of the files, or move one away"
            )
        found[plan.num_steps] = file, plan
    if not found:
        raise ValueError(f"{folder} holds no schedules: train first, or name a schedule file")
    flows = [plan for _, plan in found.values() if plan.flow]
    if flows:
        _say_of_flow(folder, flows[0])
    return json.dumps({num_steps: plan.to_sigmas() for num_steps, (_, plan) in sorted(found.items())})


def _read(file: Path, num_steps: int | None, levels_alone: bool) -> Document:
    plan = load(file)
    if levels_alone and isinstance(plan, Sampler):
        plan = plan.schedule
    return plan if num_steps is None else plan.resample(num_steps)


def _only_levels(file: Path, what: str, remedy: str) -> ValueError:
    return ValueError(f"{file} is a sampler, and {what} takes only its levels: {remedy}, or add --levels-alone")


def _sampler_csv(sampler: Sampler) -> str:
    """A line for each step, and one for the last level, which has no step."""
    names = [f"weight_{i + 1}" for i in range(sampler.memory - 1)]
    steps = zip(sampler.sigmas[:-1], sampler.told, sampler.weights, strict=True)
    rows: list[list[object]] = [["step", "sigma", "told", *names]]
    rows += [[k, sigma, told, *row, *[0.0] * (len(names) - len(row))] for k, (sigma, told, row) in enumerate(steps)]
    rows.append([sampler.num_steps, sampler.sigmas[-1], *[""] * (1 + len(names))])
    return "\n".join(",".join(map(str, row)) for row in rows)


def _say_of_flow(file: Path, plan: Document) -> None:
    remedy = (
        "the nodes in integrations/comfyui and ARTScheduler convert the sampler file"
        if isinstance(plan, Sampler)
        else "samplers that take s = σ/(1+σ) need --format comfyui, or --scheduler FOLDER for those of diffusers"
    )
    _say(f"{file} is for a flow model, and these are σ: {remedy}")


def _say(text: str) -> None:
    print(f"art-gym: {text}", file=sys.stderr)
