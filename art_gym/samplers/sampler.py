"""The sampler file: levels, weights and told levels, where they come from, and how they are checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

import art_gym
from art_gym.common.documents import LEVELS, Saved, Schema, check_provenance, schema
from art_gym.common.messages import short
from art_gym.denoisers.base import RANGE_TOLERANCE, Denoiser
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.traced import traced
from art_gym.schedules.schedule import Schedule, as_levels, checked_levels
from art_gym.solvers.base import Solver, get_solver
from art_gym.solvers.loop import integrate

_NUMBERS = {"type": "array", "items": {"type": "number"}}
SCHEMA = schema(
    "sampler",
    sigmas=LEVELS,
    told={"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}},
    weights={"type": "array", "items": _NUMBERS},
)
SAME = 1e-6  # relative difference of numbers that are taken for the same


@dataclass(frozen=True)
class Sampler(Saved):
    """K steps, each with one call of the denoiser: their levels, their weights, and the levels that the model is told.

        D_k = D(x_k, c_k σ_k)
        D̃_k = D_k + w_k0 (D_k − D_{k−1}) + w_k1 (D_{k−1} − D_{k−2}) + …
        x_{k+1} = (σ_{k+1}/σ_k) x_k + (1 − σ_{k+1}/σ_k) D̃_k

    Euler has no weights, and DPM-Solver++(2M), 3M, DEIS, iPNDM and UniPC are samplers too (`Sampler.of`,
    `art_gym.samplers.methods`). Learned ones are known as bespoke or non-stationary solvers (Shaul et al.,
    arXiv:2403.01329; S4S, arXiv:2502.17423), told levels as decoupled time steps (LD3, arXiv:2405.15506).

    Attributes:
        sigmas: K+1 levels σ, strictly decreasing, the last one 0.
        told: K factors c > 0.
        weights: K rows w_k. Row k has at most k numbers, since there are k earlier estimates.
        method: how they were found, such as "defect".
        task: what they were found for.
        solver: the solver that they are, or that their search began with.
        seed: seed of the method.
        heldout_error: mean endpoint error on held-out noise, in the units of the data.
        flow: whether they are for a flow model. Its programs take s = σ/(1 + σ), but the levels here are σ.
        version: version of art_gym, None in files without one.

    Raises:
        ValueError: for numbers that are not finite, levels that do not decrease or do not end in 0, factors that are
            not positive, a number of rows or factors other than K, more memory than there are earlier steps, or a
            value of the wrong type.
    """

    kind: ClassVar[str] = "sampler"
    file_schema: ClassVar[Schema] = SCHEMA
    sigmas: tuple[float, ...]
    told: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    method: str
    task: str | None = None
    solver: str | None = None
    seed: int | None = None
    heldout_error: float | None = None
    flow: bool = False
    version: str | None = art_gym.__version__

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", checked_levels(self.sigmas))
        object.__setattr__(self, "told", _numbers("told", self.told))
        if not isinstance(self.weights, Iterable) or isinstance(self.weights, str):
            raise ValueError(f"the weights of a sampler must be rows of numbers, got {short(self.weights)}")
        object.__setattr__(self, "weights", tuple(_numbers("weights", row) for row in self.weights))
        for name, found in (("told", self.told), ("weights", self.weights)):
            if len(found) != self.num_steps:
                raise ValueError(
                    f"a sampler of {self.num_steps} steps needs as many entries in {name}, got {len(found)}"
                )
        if (low := min(self.told)) <= 0:
            raise ValueError(f"the factors in told must be above 0, got {low}")
        for k, row in enumerate(self.weights):
            if len(row) > k:
                raise ValueError(
                    f"step {k} has {k} earlier estimates, and so at most {k} weights, got {len(row)}: {short(row)}"
                )
        check_provenance(self, self.kind, SCHEMA)

    @classmethod
    def of(cls, schedule: Schedule | Sequence[float] | np.ndarray, solver: str | Solver) -> Sampler:
        """Return a schedule with a solver as a sampler.

        Raises:
            ValueError: for a solver that makes more than one call a step, as heun does.
        """
        solver, levels = get_solver(solver), as_levels(schedule)
        found = traced(lambda denoise, grid, x: integrate(denoise, grid, x, solver), levels, solver.name)
        known = schedule if isinstance(schedule, Schedule) else Schedule(tuple(levels), "given")
        return replace(
            cls.made(found._replace(sigmas=levels), known.method),
            task=known.task,
            solver=solver.name,
            seed=known.seed,
            heldout_error=known.heldout_error,
            flow=known.flow,
            version=known.version,
        )

    @classmethod
    def made(cls, coefficients: Coefficients, method: str) -> Sampler:
        """Return a sampler with these numbers, which are arrays of numpy."""
        sigmas, told, weights = coefficients
        rows = tuple(_trimmed(row[:k]) for k, row in enumerate(np.asarray(weights).tolist()))
        return cls(tuple(np.asarray(sigmas).tolist()), tuple(np.asarray(told).tolist()), rows, method)

    @property
    def num_steps(self) -> int:
        """K."""
        return len(self.sigmas) - 1

    @property
    def memory(self) -> int:
        """How many estimates a step combines at most: 1 for Euler, 2 for DPM-Solver++(2M)."""
        return 1 + max(map(len, self.weights))

    @property
    def schedule(self) -> Schedule:
        """The levels alone. With a solver they are another sampler."""
        known = {name: getattr(self, name) for name in ("task", "solver", "seed", "flow", "version")}
        return Schedule(self.sigmas, self.method, **known)

    def coefficients(self) -> Coefficients:
        """Return the numbers as float64 arrays, with weights padded by 0 to (K, memory − 1), or (K, 1)."""
        weights = np.zeros((self.num_steps, max(self.memory - 1, 1)))
        for k, row in enumerate(self.weights):
            weights[k, : len(row)] = row
        return Coefficients(np.array(self.sigmas), np.array(self.told), weights)

    def to_sigmas(self) -> list[float]:
        """Return the levels with the trailing 0. They are not the whole sampler."""
        return list(self.sigmas)

    def resample(self, num_steps: int) -> Sampler:
        """Return the same density of steps with another K, as `Schedule.resample` does.

        Raises:
            ValueError: for a sampler whose weights are not those of euler or dpmpp_2m, up to one common factor, or
                with told levels that differ by step: they belong to its K. Also for a K as in `Schedule.resample`.
        """
        if num_steps == self.num_steps:
            return self
        factor = self._factor_of_2m()
        if factor is None or np.ptp(self.told) > SAME * self.told[0]:
            raise ValueError(
                f"cannot resample this sampler to K = {num_steps}: each of its steps has weights or told levels of its "
                f"own, which belong to K = {self.num_steps}; learn one for {num_steps} steps"
            )
        schedule = self.schedule.resample(num_steps)
        found = Sampler.of(schedule, "dpmpp_2m").coefficients()
        told = np.full(num_steps, self.told[0])
        return replace(
            Sampler.made(Coefficients(np.array(schedule.sigmas), told, factor * found.weights), schedule.method),
            **{name: getattr(self, name) for name in ("task", "solver", "seed", "flow", "version")},
        )

    def _factor_of_2m(self) -> float | None:
        """The factor on 2M's weights: 0 for Euler, 1 for 2M, None for other samplers."""
        if self.memory > 2:
            return None
        ours = self.coefficients().weights[:, 0]
        theirs = Sampler.of(np.array(self.sigmas), "dpmpp_2m").coefficients().weights[:, 0]
        factor = float(ours @ theirs / max(theirs @ theirs, 1e-30))
        return factor if np.abs(ours - factor * theirs).max() <= SAME * (1 + np.abs(ours).max()) else None


def as_sampler(plan: Sampler | Schedule | Sequence[float] | np.ndarray, solver: str | Solver) -> Sampler:
    """Return a sampler unchanged, and a schedule with the solver as a sampler."""
    return plan if isinstance(plan, Sampler) else Sampler.of(plan, solver)


def check_told(sampler: Sampler, denoiser: Denoiser, name: str) -> None:
    """Raise a ValueError if the denoiser would be told a level outside its noise range, by more than rounding."""
    told = np.array(sampler.told) * np.array(sampler.sigmas[:-1])
    low, high = denoiser.sigma_min * (1 - RANGE_TOLERANCE), denoiser.sigma_max * (1 + RANGE_TOLERANCE)
    outside = told[(told < low) | (told > high)]
    if len(outside):
        raise ValueError(
            f"the sampler tells {name} the level {outside[0]:g}, which is outside its noise range from "
            f"{denoiser.sigma_min:g} to {denoiser.sigma_max:g}: learn a sampler for this model"
        )


def _numbers(name: str, values: Iterable[float]) -> tuple[float, ...]:
    try:
        if isinstance(values, str):
            raise TypeError
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} of a sampler must hold numbers, got {short(values)}") from None
    if not np.isfinite(found).all():
        raise ValueError(f"{name} of a sampler must hold finite numbers, got {short(found)}")
    return found


def _trimmed(row: list[float]) -> tuple[float, ...]:
    """A row without the zeros at its end."""
    while row and row[-1] == 0:
        row = row[:-1]
    return tuple(row)
