"""The call that puts an `ARTScheduler` in a scheduler's place. This module does not import diffusers."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

from art_gym.export.network_calls import CHANGES, NetworkCalls, refuse_changes
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.schedule import Schedule
from art_gym.solvers.base import get_solver

OTHER_LOOPS = ("Inverse", "Helios", "RePaint", "UnCLIP")  # whose pipelines want more of a scheduler than steps to 0
SWITCHES = ("thresholding", "clip_sample", "stochastic_sampling")  # of `CHANGES`, those that can be turned off


def replacement(schedule: Schedule, scheduler: Any) -> str | None:
    """Return the statement that samples with a schedule in place of a pipeline's scheduler, to paste.

    Returns:
        The statement, or None if no `ARTScheduler` can do it: for a solver of more calls a step, a model that it does
        not know, or levels that the model was not trained on.
    """
    solver = schedule.solver or "dpmpp_2m"
    if get_solver(solver).calls_per_step > 1:
        return None
    config, name = scheduler.config, type(scheduler).__name__
    if any(part in name for part in OTHER_LOOPS):
        return None
    flow = name.startswith("FlowMatch") or config.get("prediction_type") == "flow_prediction"
    known = inspect.signature(type(scheduler).__init__).parameters
    switched = [option for option in SWITCHES if option in CHANGES and option in known and config.get(option)]
    plain = {**config, **dict.fromkeys(switched, False)}
    if flow:
        plain["prediction_type"] = "flow_prediction"
    seen = type(name, (SimpleNamespace,), {})(config=plain, alphas_cumprod=getattr(scheduler, "alphas_cumprod", None))
    try:
        refuse_changes(scheduler, flow, {option: None for option in switched})
        NetworkCalls.of(Sampler.of(schedule, solver), seen)
    except (ValueError, KeyError):  # KeyError for a scheduler without timesteps
        return None
    off = ", ".join(f"{option}=False" for option in switched)
    made = f"pipe.scheduler.from_config(pipe.scheduler.config, {off})" if off else "pipe.scheduler"
    return f"pipe.scheduler = ARTScheduler.from_sampler(schedule, {made})"
