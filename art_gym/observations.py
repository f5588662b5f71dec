"""What an agent sees: time, the grid so far, and statistics of the latents, with finite bounds and of order one."""

from __future__ import annotations

from dataclasses import dataclass

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
        parts: list[np.ndarray] = []
        for group in self.groups:
            if group == "time":
                parts += _time(state, denoiser, max_steps)
            elif group == "grid":
                parts.append(_scaled_log(state.grid, denoiser))  # (E, K_max)
            else:
                parts += _latents(state, denoiser)
        widths = [part.shape[1] if part.ndim == 2 else 1 for part in parts]
        features, column = np.empty((len(state.sigma), sum(widths)), np.float32), 0
        for part, width in zip(parts, widths, strict=True):  # stack takes longer than what it stacks
            features[:, column : column + width] = part.reshape(-1, width)
            column += width
        return np.minimum(np.maximum(features, -LIMIT, out=features), LIMIT, out=features)


def _scaled_log(sigma: np.ndarray, denoiser: Denoiser) -> np.ndarray:
    """Log σ scaled to [0, 1]; −1 where σ is NaN (a level not reached yet), 0 where it is 0."""
    low, high = np.log(denoiser.sigma_min), np.log(denoiser.sigma_max)
    scaled = (np.log(np.maximum(sigma, denoiser.sigma_min)) - low) / (high - low)
    return np.where(np.isnan(sigma), -1.0, np.minimum(np.maximum(scaled, 0.0), 1.0))


def _time(state: State, denoiser: Denoiser, max_steps: int) -> list[np.ndarray]:
    """(E,) each."""
    progress = state.step / state.num_steps
    remaining = (state.num_steps - state.step) / max_steps
    return [progress, remaining, _scaled_log(state.sigma, denoiser)]


def _latents(state: State, denoiser: Denoiser) -> list[np.ndarray]:
    """(E,) each."""
    count = len(state.sigma)
    x, denoised, before = (
        visible(array, denoiser, 2).reshape(count, -1) for array in (state.x, state.denoised, state.previous_denoised)
    )  # (E, N·d)
    size = x.shape[1]
    spread = np.sqrt(state.sigma**2 + denoiser.data_std**2)

    def rms(values: np.ndarray) -> np.ndarray:
        return np.sqrt(np.einsum("ei,ei->e", values, values) / size)

    mean = np.einsum("ei->e", x) / size / spread
    relative = rms(x) / spread
    change = np.where(np.isfinite(state.previous_sigma), rms(denoised - before), 0.0) / denoiser.data_std
    return [
        mean,
        np.sqrt(np.maximum(relative**2 - mean**2, 0)),
        relative,
        rms(denoised) / denoiser.data_std,
        change,
        np.log(change + 1e-6) / 5,
        rms(x - denoised) / spread,
    ]
