"""How a sampler calls a network of diffusers: at which timesteps, on which scaling of the latents.

This module does not import diffusers at its top.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Container, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from art_gym.denoisers.base import Array, check_levels
from art_gym.denoisers.variance_preserving import (
    edm_data,
    flow_sigmas,
    fractional_timesteps,
    knows_all_levels,
    vp_sigmas,
)
from art_gym.samplers.sampler import Sampler

BETAS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")
MORE_SOURCES = (  # schedulers whose settings diffusers hands to an ARTScheduler without a message
    *(f"{kind}Scheduler" for kind in ("CogVideoXDDIM", "CogVideoXDPM", "LCM", "TCD", "SASolver")),
    *(f"FlowMatch{kind}Scheduler" for kind in ("EulerDiscrete", "HeunDiscrete", "LCM")),
    *(f"EDM{kind}Scheduler" for kind in ("Euler", "DPMSolverMultistep")),
)
SAME = 1e-5  # relative difference of tables that float32 rounding explains
CHANGES = {  # settings that change what a step gives, and the remedy
    "thresholding": "make it with thresholding=False",
    "clip_sample": "make it with clip_sample=False",
    "stochastic_sampling": "make it with stochastic_sampling=False",
    "invert_sigmas": "keep the scheduler, because the time of its model runs backwards",
}


@dataclass(frozen=True)
class NetworkCalls:
    """The K calls of a sampler, for one kind of network.

    Attributes:
        prediction: epsilon, v_prediction, sample or flow_prediction.
        told: (K,) levels τ = cσ.
        timesteps: (K,) timesteps of these levels. They need not be whole.
        edm: as `edm_data` says.
        scales: (K+1,) factors that take latents of the network's scaling to x = data + σ · noise. The last one is 1.
    """

    prediction: str
    told: np.ndarray
    timesteps: np.ndarray
    scales: np.ndarray
    edm: float | None = None

    @classmethod
    def of(cls, sampler: Sampler, scheduler: Any, plain: bool = True) -> NetworkCalls:
        """Return the calls for the network of a scheduler, whose configuration and table of noise levels are read.

        Pipelines of flow models give plain noise ε of variance 1 to their network. That is x = σ₀ε at τ = σ₀ − 1, so
        the first told level is this one. It is the sampler's own if they begin at an image (``plain`` is False), and
        for samplers that begin at σ = 1 or below, which can begin only there.

        Raises:
            ValueError: for a told level outside the noise range of the model.
        """
        prediction, steps = scheduler.config["prediction_type"], scheduler.config["num_train_timesteps"]
        flow = prediction == "flow_prediction"
        told = np.array(sampler.told) * np.array(sampler.sigmas[:-1])
        if flow and plain and sampler.sigmas[0] > 1:
            told[0] = sampler.sigmas[0] - 1
        table = flow_sigmas(steps) if flow else vp_sigmas(scheduler)
        check_levels(np.append(told, 0.0), table[0], table[-1], "the model, which the sampler tells it")
        if flow:
            return cls(prediction, told, steps * told / (1 + told), np.append(1 + told, 1.0))
        timesteps = np.log(told) / 4 if knows_all_levels(scheduler) else fractional_timesteps(told, table)
        edm = edm_data(scheduler)
        data = 1.0 if edm is None else edm
        return cls(prediction, told, timesteps, np.append(np.sqrt(data**2 + told**2), 1.0), edm)

    def denoised(self, k: int, latents: Array, output: Array) -> Array:
        """Return D_k from (B, *shape) latents in the network's scaling and the network's output.

        If the output has twice the channels, their second half is a predicted variance, which is not used.

        Raises:
            ValueError: for an output of another shape.
        """
        channels = latents.shape[1]
        if output.shape[1] == 2 * channels:
            output = output[:, :channels]
        if output.shape != latents.shape:
            raise ValueError(
                f"the model's output has shape {tuple(output.shape)}, its latents {tuple(latents.shape)}: pass the "
                f"latents that the model was called with"
            )
        told, scale = float(self.told[k]), float(self.scales[k])
        if self.edm is not None:
            sign = 1 if self.prediction == "v_prediction" else -1
            return self.edm * (self.edm * latents - sign * told * output) / scale
        if self.prediction == "epsilon":
            return scale * latents - told * output
        if self.prediction == "v_prediction":
            return (latents - told * output) / scale
        if self.prediction == "flow_prediction":
            return latents - told / scale * output  # the velocity is ε − x₀, and s = τ/(1 + τ)
        return output


def check_start(sampler: Sampler, prediction: str) -> None:
    """Raise a ValueError if a sampler cannot begin with plain noise."""
    if prediction == "flow_prediction" and sampler.sigmas[0] <= 1:
        raise ValueError(
            f"pipelines of flow models start from pure noise, but the sampler starts at σ = {sampler.sigmas[0]:g}: use "
            f"one that starts above 1"
        )


def warn_of_another_kind(sampler: Sampler, flow: bool, name: str) -> None:
    """Warn the caller's caller if only one of a sampler and a scheduler of that name is for flow models."""
    if sampler.flow == flow:
        return
    warnings.warn(
        f"the sampler {'was' if sampler.flow else 'does not say (flow=True) that it was'} found for a flow model, "
        f"but {name} samples {'those' if flow else 'other models'}: its gain may be lost",
        stacklevel=3,
    )


def resampled(own: Sampler, count: int) -> Sampler:
    """Return a sampler with another number of steps. Raises a ValueError if its numbers belong to its own."""
    try:
        return own.resample(count)
    except ValueError:
        raise ValueError(
            f"this sampler of K = {own.num_steps} steps cannot make {count}: pass "
            f"num_inference_steps={own.num_steps}, or learn a sampler for {count} steps"
        ) from None


def refuse_changes(scheduler: Any, flow: bool, ignored: Container[str] = ()) -> None:
    """Raise a ValueError for a setting of the scheduler that changes its steps, which a sampler would ignore."""
    name, config = type(scheduler).__name__, scheduler.config
    # A config may hold options of another scheduler, which this one does not know and ignores.
    known = inspect.signature(type(scheduler).__init__).parameters
    for option, remedy in CHANGES.items():
        if option in known and option not in ignored and config.get(option):
            raise ValueError(f"{name} has {option}={config[option]!r}, but a sampler steps without it: {remedy}")
    if flow and (config.get("sigma_max") or 0) > 1:  # Cosmos
        raise ValueError(
            f"{name} has sigma_max={config['sigma_max']:g}, but ARTScheduler steps a flow model in s = σ/(1 + σ) "
            f"below 1: keep the scheduler, because its pipeline steps in σ"
        )


def alphas_cumprod(config: Mapping[str, Any]) -> Any:
    """Return the (T,) signal levels ᾱ of a configuration, as a DDPMScheduler has them."""
    from diffusers import DDPMScheduler

    scheduler: Any = DDPMScheduler
    return scheduler(**{name: config[name] for name in BETAS if name in config}).alphas_cumprod


def beta_config(scheduler: Any) -> dict[str, Any]:
    """Return settings that give a DDPMScheduler the table of another scheduler, all its betas if nothing shorter does.

    Raises:
        ValueError: for a scheduler without a table of noise levels.
    """
    found = {name: scheduler.config[name] for name in BETAS if name in scheduler.config}
    table = vp_sigmas(scheduler)
    if knows_all_levels(scheduler):  # it needs no table
        return found
    try:
        same = vp_sigmas(SimpleNamespace(config=scheduler.config, alphas_cumprod=alphas_cumprod(found)))
    except NotImplementedError:  # a beta_schedule that DDPM does not have
        same = table[:0]
    if same.shape == table.shape and np.allclose(same, table, rtol=SAME):
        return found
    signal = np.asarray(scheduler.alphas_cumprod, np.float64)
    betas = 1 - signal / np.append(1.0, signal[:-1])
    return {**found, "trained_betas": betas.tolist(), "rescale_betas_zero_snr": False}
