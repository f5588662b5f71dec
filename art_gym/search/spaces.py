"""What a search chooses from: grids for a solver, or samplers, both as vectors of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from array_api_compat import is_torch_array

from art_gym.denoisers.base import Array, Denoiser
from art_gym.samplers.coefficients import Coefficients, follow, runs_whole
from art_gym.samplers.freedom import Freedom, within_limits
from art_gym.samplers.plans import draw_levels
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.fractions import LIMIT, levels_from_logits
from art_gym.solvers.base import Solver
from art_gym.solvers.loop import integrate

SPREADS = 0.7, 0.2, 0.4  # of logits, log c and weights
Plan = np.ndarray | Coefficients  # (K+1,) levels for a solver, or a sampler
Found = TypeVar("Found", np.ndarray, Coefficients, covariant=True)


class Space(Protocol[Found]):
    """Vectors of P numbers, and how they sample.

    Attributes:
        denoiser: what is sampled.
        num_steps: K.
        size: P.
    """

    @property
    def denoiser(self) -> Denoiser: ...
    @property
    def num_steps(self) -> int: ...
    @property
    def size(self) -> int: ...

    def first(self) -> np.ndarray:
        """The (P,) numbers to begin with."""

    def spreads(self) -> np.ndarray:
        """The (P,) standard deviations in which first candidates of a search differ."""

    def plan(self, numbers: np.ndarray) -> Found:
        """What (P,) numbers stand for."""

    def samples(self, numbers: Array, x: Array) -> Array:
        """(B, *shape) samples from x at σ_max, by (P,) numbers, or by (P, B) numbers of each sample."""


@dataclass(frozen=True)
class Grids:
    """Grids of K steps for a solver, by their logits. The first one is geometric."""

    denoiser: Denoiser
    num_steps: int
    solver: str | Solver

    @property
    def size(self) -> int:
        """K − 1."""
        return self.num_steps - 1

    def first(self) -> np.ndarray:
        """See `Space`."""
        return np.zeros(self.size)

    def spreads(self) -> np.ndarray:
        """See `Space`."""
        return np.full(self.size, SPREADS[0])

    def plan(self, numbers: np.ndarray) -> np.ndarray:
        """See `Space`."""
        levels: np.ndarray = levels_from_logits(np.clip(numbers, -LIMIT, LIMIT), self.denoiser)
        return levels

    def samples(self, numbers: Array, x: Array) -> Array:
        """See `Space`."""
        if numbers.ndim > 1 and runs_whole(self.denoiser):
            return _one_by_one(self, numbers, x)
        levels = levels_from_logits(_clipped(numbers), self.denoiser)
        return (integrate if is_torch_array(levels) else draw_levels)(self.denoiser, levels, x, self.solver)


@dataclass(frozen=True)
class Samplers:
    """Samplers of K steps within a freedom. The first one is DPM-Solver++(2M) on the geometric grid."""

    denoiser: Denoiser
    num_steps: int
    freedom: Freedom

    @property
    def size(self) -> int:
        """See `Freedom.size`."""
        return self.freedom.size(self.num_steps)

    def first(self) -> np.ndarray:
        """See `Space`."""
        levels = levels_from_logits(np.zeros(self.num_steps - 1), self.denoiser)
        return self.freedom.numbers(Sampler.of(levels, "dpmpp_2m").coefficients(), self.denoiser)

    def spreads(self) -> np.ndarray:
        """See `Space`."""
        logits, told, weights = SPREADS
        if self.freedom.shared:
            return np.append(np.full(self.num_steps - 1, logits), [told, weights])
        counts = self.num_steps - 1, self.freedom.told * self.num_steps, len(self.freedom.places(self.num_steps))
        return np.repeat(SPREADS, counts)

    def plan(self, numbers: np.ndarray) -> Coefficients:
        """See `Space`."""
        if not is_torch_array(numbers):
            numbers = within_limits(numbers, self.num_steps)
        return self.freedom.coefficients(numbers, self.num_steps, self.denoiser)

    def samples(self, numbers: Array, x: Array) -> Array:
        """See `Space`."""
        if numbers.ndim > 1 and runs_whole(self.denoiser):
            return _one_by_one(self, numbers, x)
        return follow(self.denoiser, self.plan(numbers), x)


def _one_by_one(space: Space[Found], numbers: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Samples by (P, B) numbers of each sample, with a run for each candidate."""
    samples = np.empty_like(x)
    candidates, places = np.unique(numbers, axis=1, return_inverse=True)
    for number, candidate in enumerate(candidates.T):
        rows = places == number
        samples[rows] = space.samples(candidate, x[rows])
    return samples


def _clipped(logits: Array) -> Array:
    return logits if is_torch_array(logits) else np.clip(logits, -LIMIT, LIMIT)
