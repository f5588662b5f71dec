"""What an agent sees: time, the grid so far, and statistics of the latents, with finite bounds and of order one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from art_gym.denoisers.base import Denoiser, visible
from art_gym.state import State

GROUPS = ("time", "grid", "latents")
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
LIMIT = 10.0  # latent statistics are clipped here; random play stays below 8
# Arrays: numpy converts a number at every call, which tells with one environment.
_LOWEST, _HIGHEST = np.array(-LIMIT, np.float32), np.array(LIMIT, np.float32)
_ZERO, _NONE_YET = np.array(0.0), np.array(-1.0)


Observed = np.ndarray | dict[str, np.ndarray]


def lane_of(observed: Observed, lane: int) -> Observed:
    """One environment's observation out of E."""
    return {key: value[lane] for key, value in observed.items()} if isinstance(observed, dict) else observed[lane]


@dataclass(frozen=True)
class Observation:
    """A flat float32 vector of the chosen groups.

    - ``time``: share of the steps taken; steps left over the largest budget; log σ, as below.
    - ``grid``: log σ of every level so far, the first at σ_max, padded with −1 to the largest budget.
    - ``latents``: over the population and all elements, with r = √(σ² + s²), s the data's standard deviation: mean of
      x/r; standard deviation of x/r; RMS of x/r; RMS of D/s; RMS change of D since the last step, over s; its natural
      logarithm divided by 5; RMS of x − D over r (the velocity in log σ).

    log σ is scaled to 1 at σ_max and 0 at σ_min. Latent statistics are clipped to ±10.

    Attributes:
        groups: which groups, in this order: any of "time", "grid", "latents".
        raw: observe a dictionary instead: this vector as "features", and the latents themselves, x/r of shape
            (N, *shape) clipped to ±10, as "latents".
    """

    groups: tuple[str, ...] = GROUPS
    raw: bool = False

    def __post_init__(self) -> None:
        unknown = [group for group in self.groups if group not in GROUPS]
        if unknown or not self.groups or len(set(self.groups)) < len(self.groups):
            raise ValueError(f"observation groups must be distinct ones of {', '.join(GROUPS)}, got {self.groups!r}")

    def names(self, max_steps: int) -> tuple[str, ...]:
        """One name an element."""
        named = {"time": TIME, "grid": tuple(f"log_sigma_{k}" for k in range(max_steps)), "latents": LATENTS}
        return tuple(name for group in self.groups for name in named[group])

    def bounds(self, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of each element, two float32 vectors."""
        low = {"time": [0.0] * 3, "grid": [-1.0] * max_steps, "latents": [-LIMIT] * len(LATENTS)}
        high = {"time": [1.0] * 3, "grid": [1.0] * max_steps, "latents": [LIMIT] * len(LATENTS)}
        return tuple(  # type: ignore[return-value]
            np.array([value for group in self.groups for value in side[group]], np.float32) for side in (low, high)
        )

    def __call__(self, state: State, denoiser: Denoiser, max_steps: int) -> Observed:
        """Observe E environments: a fresh (E, features) float32 array, in a dictionary beside the latents if raw."""
        features = self._features(state, denoiser, max_steps)
        if not self.raw:
            return features
        scale = (1 / np.sqrt(state.sigma**2 + denoiser.data_std**2)).astype(np.float32)
        latents = state.x * scale.reshape(-1, *[1] * (state.x.ndim - 1))  # (E, N, *shape)
        return {"features": features, "latents": np.clip(latents, -LIMIT, LIMIT)}

    def _features(self, state: State, denoiser: Denoiser, max_steps: int) -> np.ndarray:
        width, columns = _layout(tuple(self.groups), max_steps)
        features = np.empty((len(state.sigma), width), np.float32)
        logs = _scaled_logs(state, denoiser, "grid" in columns)  # (E, 1) or (E, 1 + K_max)
        for group, where in columns.items():
            part = features[:, where]
            if group == "time":
                part[:, 0] = state.step / state.num_steps
                part[:, 1] = (state.num_steps - state.step) / max_steps
                part[:, 2] = logs[:, 0]
            elif group == "grid":
                part[:] = logs[:, 1:]
            else:
                _write_latents(part, state, denoiser)
        return features


@lru_cache(maxsize=64)
def _layout(groups: tuple[str, ...], max_steps: int) -> tuple[int, dict[str, slice]]:
    """The number of features, and the columns of each group."""
    widths = {"time": len(TIME), "grid": max_steps, "latents": len(LATENTS)}
    ends = np.cumsum([widths[group] for group in groups]).tolist()
    return ends[-1], {group: slice(end - widths[group], end) for group, end in zip(groups, ends, strict=True)}


def _scaled_logs(state: State, denoiser: Denoiser, with_grid: bool) -> np.ndarray:
    """Log σ and, if asked, log of the levels so far: 0 at σ_min and at 0, 1 at σ_max; −1 where there is none yet (NaN).

    One call for both: with one environment the number of calls is what takes the time.
    """
    sigma = state.sigma[:, None]  # (E, 1)
    levels = np.concatenate([sigma, state.grid], axis=1) if with_grid else sigma  # (E, 1 + K_max)
    low, high = math.log(denoiser.sigma_min), math.log(denoiser.sigma_max)
    scaled = (np.log(np.maximum(levels, denoiser.sigma_min)) - low) / (high - low)
    np.maximum(scaled, _ZERO, out=scaled)  # rounding; above 1 it is below that of float32
    return np.fmax(scaled, _NONE_YET, out=scaled)  # of NaN and a number that is the number


def _write_latents(features: np.ndarray, state: State, denoiser: Denoiser) -> None:
    """Fill (E, 7) with the statistics of `LATENTS`."""
    count, std = len(state.sigma), denoiser.data_std
    x, denoised, before = (
        visible(array, denoiser, 2).reshape(count, -1) for array in (state.x, state.denoised, state.previous_denoised)
    )  # (E, N·d)
    size = x.shape[1]
    vectors = np.empty((4, count, size), np.float32)
    vectors[0], vectors[1] = x, denoised
    np.subtract(denoised, before, out=vectors[2])
    np.subtract(x, denoised, out=vectors[3])
    rms = np.sqrt(np.vecdot(vectors, vectors) / size)  # (4, E)
    spread = np.hypot(state.sigma, std)
    mean = np.add.reduce(x, axis=1) / (size * spread)
    relative = rms[0] / spread
    change = rms[2] / std
    change[np.isinf(state.previous_sigma)] = 0.0  # there is none before the first step
    features[:, 0] = mean
    features[:, 1] = np.sqrt(np.maximum(relative**2 - mean**2, 0))
    features[:, 2] = relative
    features[:, 3] = rms[1] / std
    features[:, 4] = change
    features[:, 5] = np.log(change + 1e-6) / 5
    features[:, 6] = rms[3] / spread
    # Of the largest floats squares overflow, and a difference is NaN: fmax takes the number instead.
    np.minimum(np.fmax(features, _LOWEST, out=features), _HIGHEST, out=features)
