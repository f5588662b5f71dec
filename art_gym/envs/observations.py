"""The observations: time, the grid so far, and statistics of the latents, with finite bounds and of order one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from art_gym.common.messages import short
from art_gym.denoisers.base import Denoiser, models_of, visible
from art_gym.envs.guiding import guidance_names, write_guidance
from art_gym.envs.probing import BOUND, probe_names, write_context, write_probe
from art_gym.envs.problem import Problem
from art_gym.envs.state import State

GROUPS = ("time", "grid", "latents")  # by default
ALL_GROUPS = (*GROUPS, "sampler", "guidance", "probe", "context")
SAMPLER = ("told", "weight_1", "weight_2")  # of each step
TIME = ("progress", "remaining", "log_sigma")
LATENTS = (
    "mean",
    "std",
    "relative_rms",
    "denoised_rms",
    "denoised_change",
    "log_denoised_change",
    "velocity_norm",
)
LIMIT = 10.0  # latent statistics are clipped here; random actions stay below 8
_LOWEST, _HIGHEST = np.array(-LIMIT, np.float32), np.array(LIMIT, np.float32)  # arrays for speed, see `_Scales`
_ZERO, _TINY, _FIVE = (np.array(number, np.float32) for number in (0.0, 1e-6, 5.0))

Observed = np.ndarray | dict[str, np.ndarray]


def lane_of(observed: Observed, lane: int) -> Observed:
    """One environment's observation out of E."""
    return {key: value[lane] for key, value in observed.items()} if isinstance(observed, dict) else observed[lane]


def lanes(observed: Observed) -> int:
    """E, the number of observed environments."""
    return len(next(iter(observed.values())) if isinstance(observed, dict) else observed)


@dataclass(frozen=True)
class Observation:
    """A flat float32 vector of the chosen groups.

    - ``time``: share of the steps taken, steps left divided by the largest budget, log σ.
    - ``grid``: log σ of every level so far, the first at σ_max, padded with −1 to the largest budget.
    - ``latents``: mean of x/r, standard deviation of x/r, RMS of x/r, RMS of D/s, RMS change of D since the last step
      divided by s, the natural logarithm of this change divided by 5, RMS of x − D divided by r (the velocity in
      log σ). They are taken over the population and all elements. s is the data's standard deviation, r = √(σ² + s²).

    - ``sampler``: for each step so far the logarithm of the factor on the told level, and its first two weights; 0 for
      steps to come, and where actions choose step sizes only.

    - ``guidance``: the class, log w of the steps so far, and how much guidance changes D (`art_gym.envs.guiding`).

    - ``probe``: what one fine trajectory tells of the model (`art_gym.envs.probing`). It costs about 800 denoiser
      evaluations for each model, once.

    - ``context``: which of its models a task has drawn, from 0 for the first to 1 for the last.

    log σ is scaled to 1 at σ_max and 0 at σ_min. Latent statistics are clipped to ±10.

    Attributes:
        groups: any of "time", "grid", "latents", in the order of the vector.
        raw: observe a dictionary instead. "features" is this vector. "latents" is x/r of shape (N, *shape), clipped
            to ±10.
    """

    groups: tuple[str, ...] = GROUPS
    raw: bool = False

    def __post_init__(self) -> None:
        unknown = [group for group in self.groups if group not in ALL_GROUPS]
        if unknown or not self.groups or len(set(self.groups)) < len(self.groups):
            raise ValueError(
                f"observation groups must be distinct ones of {', '.join(ALL_GROUPS)}, got {short(self.groups)}"
            )

    def names(self, max_steps: int) -> tuple[str, ...]:
        """One name for each element."""
        steps = range(max_steps)
        named = {"time": TIME, "grid": tuple(f"log_sigma_{k}" for k in steps), "latents": LATENTS}
        named["sampler"] = tuple(f"{name}_{k}" for k in steps for name in SAMPLER)
        named["context"] = ("context",)
        named["guidance"], named["probe"] = guidance_names(max_steps), probe_names(max_steps)
        return tuple(name for group in self.groups for name in named[group])

    def bounds(self, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of each element, two float32 vectors."""
        many = max_steps * len(SAMPLER)
        low = {"time": [0.0] * 3, "grid": [-1.0] * max_steps, "latents": [-LIMIT] * len(LATENTS)}
        high = {"time": [1.0] * 3, "grid": [1.0] * max_steps, "latents": [LIMIT] * len(LATENTS)}
        low["sampler"], high["sampler"] = [-LIMIT] * many, [LIMIT] * many
        probed = len(probe_names(max_steps))
        low["probe"], high["probe"] = [-BOUND] * probed, [BOUND] * probed
        low["context"], high["context"] = [0.0], [1.0]
        guided = len(guidance_names(max_steps))
        low["guidance"], high["guidance"] = [-LIMIT] * guided, [LIMIT] * guided
        return tuple(  # type: ignore[return-value]
            np.array([value for group in self.groups for value in side[group]], np.float32) for side in (low, high)
        )

    def __call__(self, state: State, problem: Problem, max_steps: int) -> Observed:
        """Observe E environments: a new (E, features) float32 array. If raw, a dictionary of it and the latents."""
        features = self._features(state, problem, max_steps)
        if not self.raw:
            return features
        models = models_of(state.x[:, 0], problem.denoiser)
        std = problem.denoiser.data_std if models is None else models.stds
        scale = (1 / np.sqrt(state.sigma**2 + std**2)).astype(np.float32)
        latents = state.x * scale.reshape(-1, *[1] * (state.x.ndim - 1))  # (E, N, *shape)
        return {"features": features, "latents": np.clip(latents, -LIMIT, LIMIT)}

    def _features(self, state: State, problem: Problem, max_steps: int) -> np.ndarray:
        width, columns = _layout(tuple(self.groups), max_steps)
        features = np.empty((len(state.sigma), width), np.float32)
        for group, where in columns.items():
            part = features[:, where]
            if group == "time":
                part[:, 0] = state.step / state.num_steps
                part[:, 1] = (state.num_steps - state.step) / max_steps
                part[:, 2] = state.log_sigma
            elif group == "grid":
                part[:] = state.log_grid
            elif group == "latents":
                _write_latents(part, state, problem.denoiser)
            elif group == "sampler":
                _write_sampler(part, state, max_steps)
            elif group == "guidance":
                write_guidance(part, state, problem, LIMIT)
            elif group == "context":
                write_context(part, state, problem)
            else:
                write_probe(part, state, problem, max_steps)
        return features


@lru_cache(maxsize=64)
def _layout(groups: tuple[str, ...], max_steps: int) -> tuple[int, dict[str, slice]]:
    """The number of features, and the columns of each group."""
    widths = {"time": len(TIME), "grid": max_steps, "latents": len(LATENTS), "sampler": max_steps * len(SAMPLER)}
    widths["context"] = 1
    widths["guidance"], widths["probe"] = len(guidance_names(max_steps)), len(probe_names(max_steps))
    ends = np.cumsum([widths[group] for group in groups]).tolist()
    return ends[-1], {group: slice(end - widths[group], end) for group, end in zip(groups, ends, strict=True)}


class _Scales(NamedTuple):
    """A denoiser's numbers as arrays. numpy converts a number at every call, which is slow with one environment."""

    sigma_min: np.ndarray
    log_min: np.ndarray
    log_range: np.ndarray
    std: np.ndarray
    variance: np.ndarray


@lru_cache(maxsize=64)
def _scales(sigma_min: float, sigma_max: float, std: float) -> _Scales:
    low, high = math.log(sigma_min), math.log(sigma_max)
    return _Scales(
        sigma_min=np.array(sigma_min),
        log_min=np.array(low),
        log_range=np.array(high - low),
        std=np.array(std, np.float32),
        variance=np.array(std * std),
    )


def scales(denoiser: Denoiser) -> _Scales:
    """The numbers of a denoiser that observations need."""
    return _scales(denoiser.sigma_min, denoiser.sigma_max, denoiser.data_std)


def scaled_log(sigma: np.ndarray, denoiser: Denoiser) -> np.ndarray:
    """Log of levels (any shape), scaled to 0 at σ_min and below, and to 1 at σ_max."""
    known = scales(denoiser)
    position: np.ndarray = (np.log(np.maximum(sigma, known.sigma_min)) - known.log_min) / known.log_range
    return position


def _write_latents(features: np.ndarray, state: State, denoiser: Denoiser) -> None:
    """Fill (E, 7) with the statistics of `LATENTS`."""
    count, std, spread = len(state.sigma), *_scales_of(state, denoiser)
    x, denoised, before = (
        visible(array, denoiser, 2).reshape(count, -1) for array in (state.x, state.denoised, state.previous_denoised)
    )  # (E, N·d)
    size = x.shape[1]
    vectors = np.empty((4, count, size), np.float32)
    vectors[0], vectors[1] = x, denoised
    np.subtract(denoised, before, out=vectors[2])
    np.subtract(x, denoised, out=vectors[3])
    if size == 1:  # with very many environments, sums over one element would take a third of a step's time
        rms, mean, deviation = np.abs(vectors[..., 0]), x[:, 0], _ZERO  # (4, E)
    else:
        rms, mean = np.sqrt(np.vecdot(vectors, vectors) / size), np.add.reduce(x, axis=1) / size
        variance = np.square(rms[0], dtype=np.float64) - np.square(mean, dtype=np.float64)
        deviation = np.sqrt(np.maximum(variance, _ZERO)).astype(np.float32)
    columns = np.empty((len(LATENTS), count), np.float32)
    columns[0] = mean / spread
    columns[1] = deviation / spread
    columns[2] = rms[0] / spread
    columns[3] = rms[1] / std
    columns[4] = change = rms[2] / std * np.isfinite(state.previous_sigma)  # no change before the first step
    columns[5] = np.log(change + _TINY) / _FIVE
    columns[6] = rms[3] / spread
    # Squares of very large floats overflow, and their difference is NaN. fmax then takes the limit.
    np.minimum(np.fmax(columns, _LOWEST, out=columns), _HIGHEST, out=columns)
    features[:] = columns.T


def _scales_of(state: State, denoiser: Denoiser) -> tuple[np.ndarray, np.ndarray]:
    """s, one number or (E,) of them, and (E,) r = √(σ² + s²), float32. Unused elements count as 0 in both."""
    models = models_of(state.x[:, 0], denoiser)
    if models is None:
        known = scales(denoiser)
        return known.std, np.sqrt(state.sigma * state.sigma + known.variance).astype(np.float32)
    spread = np.sqrt((state.sigma**2 + models.stds**2) * models.shares)
    return models.scales.astype(np.float32), spread.astype(np.float32)


def _write_sampler(features: np.ndarray, state: State, max_steps: int) -> None:
    """Fill (E, 3 K_max) with the numbers of `SAMPLER` for each step."""
    features[:] = 0.0
    if state.told.shape[1]:
        columns = features.reshape(len(features), max_steps, len(SAMPLER))  # a view
        columns[..., 0] = np.log(state.told)
        known = min(state.weights.shape[2], len(SAMPLER) - 1)
        columns[..., 1 : 1 + known] = state.weights[..., :known]
        np.clip(features, -LIMIT, LIMIT, out=features)
