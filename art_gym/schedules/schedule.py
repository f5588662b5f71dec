"""The schedule file: noise levels, where they come from, and the forms in which samplers take them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np

import art_gym
from art_gym.common.documents import LEVELS, Saved, Schema, check_provenance, schema
from art_gym.common.limits import MAX_STEPS, check_whole
from art_gym.common.messages import short

SCHEMA = schema("schedule", sigmas=LEVELS)


@dataclass(frozen=True)
class Schedule(Saved):
    """K+1 noise levels from σ_max to a trailing 0, with their provenance.

    Attributes:
        sigmas: the levels, strictly decreasing, the last one 0.
        method: how they were found, such as "edm" or "ppo".
        task, solver: what they were found for.
        seed: seed of the method.
        heldout_error: mean endpoint error on held-out noise, in the units of the data.
        flow: whether the levels are for a flow model. Its samplers take s = σ/(1 + σ), but the levels here are σ.
        version: version of art_gym, None in files without one.

    Raises:
        ValueError: for levels that are not finite, do not decrease or do not end in 0, for a heldout_error that is
            negative or not finite, or for a value of the wrong type.
    """

    kind: ClassVar[str] = "schedule"
    file_schema: ClassVar[Schema] = SCHEMA
    sigmas: tuple[float, ...]
    method: str
    task: str | None = None
    solver: str | None = None
    seed: int | None = None
    heldout_error: float | None = None
    flow: bool = False
    version: str | None = art_gym.__version__

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", checked_levels(self.sigmas))
        check_provenance(self, self.kind, SCHEMA)

    @property
    def num_steps(self) -> int:
        """K."""
        return len(self.sigmas) - 1

    def resample(self, num_steps: int) -> Schedule:
        """Return the same density of steps with another K. Between positive levels log σ is linear in the step number.

        Raises:
            ValueError: for a K that is not a whole number from 1 to 1000, or a schedule of one step, which has no
                density.
        """
        num_steps = check_whole("the number of steps to resample to", num_steps, 1, MAX_STEPS)
        if num_steps == self.num_steps:
            return self
        if self.num_steps < 2:
            raise ValueError(
                f"cannot resample a schedule of K = {self.num_steps} to {num_steps} steps: it needs at least 2 itself"
            )
        levels = (self.sigmas[0], 0.0) if num_steps == 1 else resampled(np.array(self.sigmas), num_steps).tolist()
        method = f"{self.method}, resampled from K = {self.num_steps}"
        return replace(self, sigmas=tuple(levels), method=method, heldout_error=None)

    def to_sigmas(self) -> list[float]:
        """Return the levels with the trailing 0. k-diffusion's samplers take them as ``torch.tensor(...)``.

        For a flow model too they are σ of the variance-exploding convention, as its denoiser D(x, σ) takes them.
        """
        return list(self.sigmas)

    def to_diffusers(self) -> list[float]:
        """Return the levels for ``EulerDiscreteScheduler.set_timesteps(sigmas=…)``, which expects the trailing 0.

        For other schedulers see `art_gym.export.diffusers.diffusers_arguments`.

        Raises:
            ValueError: for a flow model's schedule, because its scheduler shifts custom levels by its own settings.
        """
        if self.flow:
            raise ValueError(
                "the schedule is a flow model's, and its export depends on the shift of the scheduler: name the "
                "scheduler, with diffusers_arguments(schedule, scheduler), or --scheduler FOLDER on the command line"
            )
        return list(self.sigmas)

    def to_comfyui(self) -> str:
        """Return one line for ComfyUI's nodes that take manual sigmas. For a flow model these are s = σ/(1 + σ).

        The numbers are float32, as ComfyUI computes, and have no exponents, because the nodes read 5e-05 as two
        numbers. Cosmos Predict2 is a flow model, but ComfyUI samples it in σ, so use `to_sigmas` for it. For flow
        models ComfyUI's ``euler`` equals ours. Its ``heun`` and ``dpmpp_2m`` step in s and are other methods. Its node
        SamplerDPMPP_2M_SDE with midpoint and eta 0 equals our 2M.

        Raises:
            ValueError: if two levels are equal in float32, or one is too large for it.
        """
        with np.errstate(over="ignore"):
            levels = np.array([sigma / (1 + sigma) if self.flow else sigma for sigma in self.sigmas], np.float32)
        if np.isinf(levels[0]):
            raise ValueError(f"ComfyUI computes in float32, and {self.sigmas[0]:g} is too large for it")
        if not (np.diff(levels) < 0).all():
            raise ValueError(
                f"ComfyUI computes in float32, where two of the levels are equal: {short(levels.tolist())}"
            )
        return ", ".join(np.format_float_positional(level, trim="-") for level in levels)


def resampled(levels: np.ndarray, num_steps: int) -> np.ndarray:
    """Resample (J+1,) levels to (K+1,), K ≥ 2. Between positive levels log σ is linear in the step number."""
    positive = np.log(levels[:-1])
    inner = np.exp(np.interp(np.linspace(0, 1, num_steps), np.linspace(0, 1, len(positive)), positive))
    inner[[0, -1]] = levels[[0, -2]]  # the logarithm may have changed their last digit
    return np.append(inner, 0.0)


def as_levels(sigmas: Sequence[float] | np.ndarray | Schedule) -> np.ndarray:
    """Return the (K+1,) levels of a schedule or of plain numbers, checked as in `Schedule`."""
    if isinstance(sigmas, str) or not isinstance(sigmas, Schedule | Iterable):
        raise ValueError(
            f"expected a Schedule or its (K+1,) levels, got {short(sigmas)}: use art_gym.make_grid(name, K, denoiser) "
            f"for a named grid, or Schedule.load(file) for a file"
        )
    schedule = sigmas if isinstance(sigmas, Schedule) else Schedule(tuple(sigmas), method="given")
    return np.array(schedule.sigmas)


def checked_levels(sigmas: Iterable[float]) -> tuple[float, ...]:
    """Return the levels as floats. Raises a ValueError unless they are finite, decrease and end in 0."""
    try:
        if isinstance(sigmas, str):
            raise TypeError
        levels = tuple(float(sigma) for sigma in sigmas)
    except OverflowError:  # a whole number of some hundred digits
        raise ValueError("the levels of a schedule must be finite, got one that is too large for a float") from None
    except (TypeError, ValueError):
        raise ValueError(f"the levels of a schedule must be numbers, got {short(sigmas)}") from None
    if len(levels) > MAX_STEPS + 1:
        raise ValueError(f"a schedule has at most {MAX_STEPS} steps, got {len(levels) - 1}")
    if len(levels) < 2 or levels[-1] != 0:
        raise ValueError(
            f"a schedule needs at least two levels and a trailing 0, got {len(levels)} that end in {levels[-1:]}"
        )
    for k, (level, following) in enumerate(pairwise(levels)):
        if not (level > following and np.isfinite(level)):
            raise ValueError(
                f"the levels of a schedule must be finite and decrease, got {level!r} and then {following!r} at "
                f"step {k}"
            )
    return (*levels[:-1], 0.0)  # a trailing −0 becomes 0
