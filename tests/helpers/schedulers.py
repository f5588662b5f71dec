"""What a schedule becomes for every scheduler of diffusers. Run this file to write the table of the documentation."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from art_gym.export.diffusers import diffusers_arguments
from art_gym.schedules import Schedule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # from diffusers and its imports
    import diffusers
    from diffusers import schedulers
    from diffusers.utils import logging

    from art_gym.export import ARTScheduler

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "diffusers.md"
LEVELS = (14.0, 5.5, 2.0, 0.7, 0.2, 0.06, 0.0)
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
VARIANTS: dict[str, list[dict[str, Any]]] = {  # settings that popular pipelines have, beside the defaults
    "DDIMScheduler": [{"clip_sample": False}],
    "DDPMScheduler": [{"clip_sample": False}],
    "DEISMultistepScheduler": [FLOW],
    "DPMSolverMultistepScheduler": [
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
        {"use_beta_sigmas": True},
        {"use_lu_lambdas": True},
        {"algorithm_type": "sde-dpmsolver++"},
        {"final_sigmas_type": "sigma_min"},
        FLOW,
    ],
    "DPMSolverSinglestepScheduler": [{"use_karras_sigmas": True}, FLOW],
    "EulerDiscreteScheduler": [
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
        {"use_beta_sigmas": True},
        {"timestep_spacing": "trailing"},
        {"final_sigmas_type": "sigma_min"},
    ],
    "FlowMatchEulerDiscreteScheduler": [
        {"shift": 3.0},
        {"use_dynamic_shifting": True},
        {"shift_terminal": 0.1},
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
        {"use_beta_sigmas": True},
        {"stochastic_sampling": True},
        {"invert_sigmas": True},
    ],
    "HeunDiscreteScheduler": [{"use_karras_sigmas": True}],
    "LMSDiscreteScheduler": [{"use_karras_sigmas": True}],
    "PNDMScheduler": [{"skip_prk_steps": True}],
    "UniPCMultistepScheduler": [{"use_karras_sigmas": True}, FLOW, {**FLOW, "use_dynamic_shifting": True}],
}


@dataclass(frozen=True)
class Row:
    """A scheduler with settings, and what a schedule becomes for it."""

    name: str
    settings: str
    gives: str
    note: str = ""


def all_names() -> list[str]:
    """Every scheduler class of the installed diffusers that samples."""
    names = [name for name in sorted(dir(schedulers)) if name.endswith("Scheduler")]
    return [name for name in names if inspect.isclass(getattr(schedulers, name))]


def used(scheduler: Any) -> np.ndarray:
    """A scheduler's levels in the variance-exploding convention, the last one included, as it will step."""
    if not hasattr(scheduler, "sigmas"):  # it reads them from its table while it steps
        signal = scheduler.alphas_cumprod[scheduler.timesteps].numpy()
        return np.append(((1 - signal) / signal) ** 0.5, 0.0)
    sigmas = np.array(list(dict.fromkeys(scheduler.sigmas.tolist())))  # Heun's repeats each level
    flow = type(scheduler).__name__.startswith("FlowMatch") or getattr(scheduler.config, "use_flow_sigmas", False)
    return sigmas / (1 - sigmas) if flow else sigmas


def row(name: str, settings: dict[str, Any]) -> Row:
    """Ask for the arguments, and read back what the scheduler, or the one that is recommended, then samples with."""
    named = ["flow"] if settings.get("use_flow_sigmas") else []
    shown = ", ".join(named + [f"`{key}={value}`" for key, value in settings.items() if key not in FLOW])
    try:
        scheduler = getattr(schedulers, name)(**settings)
    except ImportError as error:  # a class that stands for one whose library is not installed
        return Row(name, shown, "not tested", f"needs {str(error).split('requires the ')[-1].split()[0]}")
    except TypeError:  # schedulers of tokens want arguments
        return Row(name, shown, "refused", "does not sample by noise levels")
    if not callable(getattr(scheduler, "set_timesteps", None)):
        return Row(name, shown, "refused", "does not sample by noise levels")
    flow = name.startswith("FlowMatch") or bool(settings.get("use_flow_sigmas"))
    schedule = Schedule(LEVELS, "test", flow=flow)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")  # of diffusers
        warnings.simplefilter("always", UserWarning)
        try:
            arguments = diffusers_arguments(schedule, scheduler)
        except ValueError as refused:
            return recommended(name, shown, str(refused), schedule, scheduler)
    scheduler.set_timesteps(**arguments)
    rounded = "timesteps" in arguments
    np.testing.assert_allclose(used(scheduler), LEVELS, rtol=0.03 if rounded else 1e-5)
    gives = "`timesteps=`, the nearest" if rounded else "`sigmas=`, exact"
    noise = any("draws noise at every step" in str(warning.message) for warning in said)
    return Row(name, shown, gives, "warned of: it draws noise at every step" if noise else "")


def recommended(name: str, settings: str, message: str, schedule: Schedule, scheduler: Any) -> Row:
    """Paste the call of a refusal, if there is one, and read back its levels."""
    assert "\n" not in message
    call = message.partition("sample with ")[2].partition(", which is in art_gym.export")[0]
    if not call:
        assert any(word in message for word in ("choose", "make it", "make one", "outside")), message
        return Row(name, settings, "refused", message.partition(":")[0].removeprefix(f"{name} "))
    pipe = SimpleNamespace(scheduler=scheduler)
    exec(call, {"pipe": pipe, "schedule": schedule, "ARTScheduler": ARTScheduler})  # it is for pasting
    assert isinstance(pipe.scheduler, ARTScheduler)
    pipe.scheduler.set_timesteps(schedule.num_steps)
    assert pipe.scheduler.sampler.sigmas == schedule.sigmas
    return Row(name, settings, "`ARTScheduler`", "")


def rows() -> Iterator[Row]:
    """The whole table."""
    logging.set_verbosity_error()
    for name in all_names():
        for settings in ({}, *VARIANTS.get(name, [])):
            yield row(name, settings)


def table() -> str:
    """The table in Markdown."""
    lines = [f"| {row.name.removesuffix('Scheduler')} | {row.settings} | {row.gives} | {row.note} |" for row in rows()]
    return "\n".join(["| scheduler | settings | a schedule becomes | |", "|:---|:---|:---|:---|", *lines]) + "\n"


def document() -> str:
    """The page of the documentation."""
    return f"""# Schedulers of diffusers

What a schedule becomes for each scheduler of diffusers {diffusers.__version__}, with its default settings and with
those of popular pipelines. A test makes this table: it reads back the levels that the scheduler then samples with.

- **`sigmas=`, exact** and **`timesteps=`, the nearest**: pass what `diffusers_arguments` returns to the pipeline.
- **`ARTScheduler`**: the scheduler cannot use your levels. The error has the line that puts ours in its place.
- **refused**: neither works, and the error says why.

{table()}"""


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    DOCUMENT.write_text(document(), encoding="utf-8")
    sys.stdout.write(f"written: {DOCUMENT}\n")
