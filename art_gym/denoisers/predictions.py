"""What a network of diffusers predicts, at which timesteps, and D made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from art_gym.common.messages import short
from art_gym.denoisers.torch_denoiser import Function
from art_gym.denoisers.variance_preserving import edm_data, flow_sigmas, knows_all_levels, vp_sigmas

PREDICTIONS = ("epsilon", "v_prediction", "sample", "flow_prediction")
NOISY = ("LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler")  # of distilled models, which jump and add noise
IMAGES_STD, LATENTS_STD = 0.5, 1.0  # of images in [−1, 1], and of the scaled latents of latent-diffusion models


def check_prediction(name: object) -> str:
    """Return a prediction type. Raises a ValueError if it is unknown."""
    if not isinstance(name, str) or name not in PREDICTIONS:
        raise ValueError(
            f"unknown prediction type {short(name)}: choose one of {', '.join(PREDICTIONS)} with prediction_type= "
            f"(--prediction-type)"
        )
    return name


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network predicts, and the noise levels of its timesteps.

    Attributes:
        kind: one of `PREDICTIONS`.
        table: (T,) increasing levels σ of the timesteps, or the (2,) ends of the range for a network of all levels and
            for flow models.
        steps: number of timesteps of the training.
        all_levels: whether the network is told ¼ log σ instead of a timestep.
        edm: as `edm_data` says.
    """

    kind: str
    table: np.ndarray
    steps: int
    all_levels: bool
    edm: float | None = None

    @classmethod
    def of(cls, scheduler: Any, prediction_type: str | None = None) -> Prediction:
        """Return what the network of a scheduler predicts, by default as the scheduler says.

        Raises:
            ValueError: for an unknown prediction type, or a scheduler without a table of noise levels or of `NOISY`.
        """
        config, name = scheduler.config, type(scheduler).__name__
        if name in NOISY:
            raise ValueError(
                f"{name} draws noise between its steps, and models for it are made for that: give the scheduler that "
                f"the model was trained with (--scheduler), if it has one without noise"
            )
        known = "flow_prediction" if name.startswith("FlowMatch") else config.get("prediction_type")
        kind, steps = prediction_type or check_prediction(known), config.get("num_train_timesteps", 1000)
        table = flow_sigmas(steps) if kind == "flow_prediction" else vp_sigmas(scheduler)
        return cls(kind, table, steps, knows_all_levels(scheduler), edm_data(scheduler))

    @property
    def flow(self) -> bool:
        """Whether the network is a flow model."""
        return self.kind == "flow_prediction"

    @property
    def bounds(self) -> tuple[float, float]:
        """The noise range."""
        return float(self.table[0]), float(self.table[-1])

    def function(self, network: Function, rounding: bool = False) -> Function:
        """Return D(x, σ) of a network, which maps latents in its own scaling and (B,) timesteps to what it predicts."""
        if self.flow:
            return _flow(network, self.steps, rounding)
        if self.edm is not None:
            return _edm(network, self.edm, 1 if self.kind == "v_prediction" else -1)
        tables = {torch.device("cpu"): torch.from_numpy(np.log(self.table))}  # by device, copied there once

        def time(logs: torch.Tensor) -> torch.Tensor:
            if self.all_levels:
                return logs / 4
            if logs.device not in tables:
                tables[logs.device] = tables[torch.device("cpu")].to(logs.device)
            return _interpolated(logs, tables[logs.device])

        return _variance_preserving(network, self.kind, time, rounding)

    def level(self, timestep: float) -> float:
        """Return the level σ of a timestep. Levels of flow models end where their noise range ends."""
        if self.all_levels:
            return float(np.exp(4 * timestep))
        if self.flow:
            share = timestep / self.steps
            return float(np.clip(share / max(1 - share, 1e-9), *self.bounds))
        return float(np.exp(np.interp(timestep, np.arange(len(self.table)), np.log(self.table))))

    def levels_of(self, scheduler: Any) -> np.ndarray:
        """Return the (n+1,) levels σ that a scheduler has been set to, clipped to the noise range, and 0.

        A level at which it steps twice, as Heun's does, counts once.
        """
        found = np.asarray(getattr(scheduler, "sigmas", ()), np.float64)[:-1]  # the last step always lands on 0
        if not len(found):
            found = np.array([self.level(float(timestep)) for timestep in scheduler.timesteps])
        elif self.flow:
            found = found / np.maximum(1 - found, 1e-9)
        return np.append(np.unique(np.clip(found, *self.bounds))[::-1], 0.0)


def scheduler_name(scheduler: Any) -> str:
    """Return a short name of a scheduler, such as EulerDiscrete."""
    return type(scheduler).__name__.removesuffix("Scheduler")


def _variance_preserving(
    network: Function, prediction: str, time: Callable[[torch.Tensor], torch.Tensor], rounding: bool
) -> Function:
    """Return D of a model that takes x/√(1 + σ²) and the timestep ``time(log σ)``, (B,)."""

    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        timestep = time(_log(sigma)).to(torch.float32).to(sigma.device)
        wide = sigma.reshape(-1, *[1] * (x.ndim - 1))
        total = (1 + wide**2).sqrt()
        output = network(x / total, timestep.round().long() if rounding else timestep)
        if prediction == "epsilon":
            return x - wide * output
        if prediction == "v_prediction":
            return x / total**2 - wide / total * output
        return output

    return function


def _edm(network: Function, data: float, sign: int) -> Function:
    """Return D of a network that is preconditioned for data of this standard deviation. v has the other sign than F."""

    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        wide = sigma.reshape(-1, *[1] * (x.ndim - 1))
        total = (data**2 + wide**2).sqrt()
        output = network(x / total, (_log(sigma) / 4).to(torch.float32).to(sigma.device))
        return data * (data * x / total - sign * wide * output) / total

    return function


def _flow(network: Function, steps: int, rounding: bool) -> Function:
    def function(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        time = sigma / (1 + sigma)  # s, of z = (1 − s) x₀ + s ε
        wide = time.reshape(-1, *[1] * (x.ndim - 1))
        z = (1 - wide) * x
        timestep = time * steps
        if rounding:  # down, but not from a whole timestep that float32 made slightly too small
            timestep = (timestep + 1e-3).floor()
        return z - wide * network(z, timestep)  # the velocity is ε − x₀

    return function


def _log(sigma: torch.Tensor) -> torch.Tensor:
    """Return (B,) ln σ in float64, which Apple's device does not have."""
    return torch.log((sigma.cpu() if sigma.device.type == "mps" else sigma).double())


def _interpolated(logs: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return fractional positions of (B,) values in an increasing table, clipped to its ends."""
    index = (torch.searchsorted(table, logs) - 1).clamp(0, len(table) - 2)
    share = (logs - table[index]) / (table[index + 1] - table[index])
    return index + share.clamp(0, 1)
