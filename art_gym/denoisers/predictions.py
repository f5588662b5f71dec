"""What a network of diffusers predicts, at which timesteps, and D made from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from art_gym.common.messages import short
from art_gym.denoisers.base import per_sample
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

        def denoised(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return self.estimate(x, sigma, network(*self.call(x, sigma, rounding)))

        return denoised

    def call(self, x: torch.Tensor, sigma: torch.Tensor, rounding: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the network is called with: (B, *shape) latents in its own scaling, and (B,) timesteps.

        Args:
            x: (B, *shape) latents at (B,) levels sigma.
            sigma: these levels.
            rounding: round timesteps, as samplers with whole timesteps do.
        """
        if self.flow:
            time = sigma / (1 + sigma)  # s, of z = (1 − s) x₀ + s ε
            timestep = time * self.steps
            if rounding:  # down, but not from a whole timestep that float32 made slightly too small
                timestep = (timestep + 1e-3).floor()
            return (1 - per_sample(time, x)) * x, timestep
        scaled = x / self._total(per_sample(sigma, x))
        timestep = self._time(_log(sigma)).to(torch.float32).to(sigma.device)
        return scaled, timestep.round().long() if rounding and self.edm is None else timestep

    def estimate(self, x: torch.Tensor, sigma: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Return (B, *shape) D of latents x at (B,) levels sigma, from what the network predicts there."""
        wide: torch.Tensor = per_sample(sigma, x)
        if self.flow:
            time: torch.Tensor = per_sample(sigma / (1 + sigma), x)
            return (1 - time) * x - time * output  # the velocity is ε − x₀
        total = self._total(wide)
        if self.edm is not None:  # v has the other sign than F
            sign = 1 if self.kind == "v_prediction" else -1
            return self.edm * (self.edm * x / total - sign * wide * output) / total
        if self.kind == "epsilon":
            return x - wide * output
        if self.kind == "v_prediction":
            return x / total**2 - wide / total * output
        return output

    def latents(self, scaled: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Return (B, *shape) latents x from those in the network's scaling at (B,) levels sigma, as `call` gives."""
        wide = per_sample(sigma, scaled)
        return scaled * (1 + wide if self.flow else self._total(wide))

    def _total(self, wide: torch.Tensor) -> torch.Tensor:
        """The standard deviation of latents at a level."""
        return ((1 if self.edm is None else self.edm**2) + wide**2).sqrt()

    def _time(self, logs: torch.Tensor) -> torch.Tensor:
        """(B,) timesteps of log σ, for other networks than flow models."""
        if self.all_levels or self.edm is not None:
            return logs / 4
        if logs.device not in self._tables:
            self._tables[logs.device] = self._tables[torch.device("cpu")].to(logs.device)
        return _interpolated(logs, self._tables[logs.device])

    @cached_property
    def _tables(self) -> dict[torch.device, torch.Tensor]:
        """The table of log σ by device, copied there once."""
        return {torch.device("cpu"): torch.from_numpy(np.log(self.table))}

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


def _log(sigma: torch.Tensor) -> torch.Tensor:
    """Return (B,) ln σ in float64, which Apple's device does not have."""
    return torch.log((sigma.cpu() if sigma.device.type == "mps" else sigma).double())


def _interpolated(logs: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Return fractional positions of (B,) values in an increasing table, clipped to its ends."""
    index = (torch.searchsorted(table, logs) - 1).clamp(0, len(table) - 2)
    share = (logs - table[index]) / (table[index + 1] - table[index])
    return index + share.clamp(0, 1)
