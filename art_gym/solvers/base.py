"""What a solver is: one step between two positive levels, with one σ per sample.

The step to 0 is the same for all (`land`). A solver gets D(x, σ), which the caller has already computed, so an
environment can show it to its agent before the agent acts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace

from art_gym.common.registry import Registry
from art_gym.denoisers.base import Array

Denoise = Callable[[Array, Array], Array]


class Previous(NamedTuple):
    """D and σ of the step before, for multistep solvers; σ = ∞ marks a first step (any finite D will do then)."""

    denoised: Array  # (B, *shape)
    sigma: Array  # (B,)


Step = Callable[[Denoise, Array, Array, Array, Array, Previous], Array]


@dataclass(frozen=True)
class Solver:
    """A named step, its order of convergence and the denoiser calls of one step between positive levels."""

    name: str
    step: Step
    order: int
    calls_per_step: int

    def evaluations(self, num_steps: int) -> int:
        """Denoiser calls for one sample on a grid of ``num_steps`` steps, of which the last lands on 0 (one call)."""
        return self.calls_per_step * (num_steps - 1) + 1


def per_sample(sigma: Array, x: Array) -> Array:
    """Shape (B,) as (B, 1, …, 1), to multiply x of shape (B, *shape)."""
    return sigma[(...,) + (None,) * (x.ndim - 1)]


def log(values: Array) -> Array:
    """The natural logarithm, of numpy arrays and of tensors."""
    # With one sample the search for numpy's namespace takes three times as long as the logarithm.
    return np.log(values) if isinstance(values, np.ndarray) else array_namespace(values).log(values)


def land(denoised: Array) -> Array:
    """The step from σ to 0: an Euler step, x₀ = D(x, σ)."""
    return denoised


SOLVERS: Registry[Solver] = Registry("solver", "art_gym.solvers")


def solver(order: int, calls_per_step: int) -> Callable[[Step], Step]:
    """Register a step function as the solver of its name.

    Args:
        order: of convergence.
        calls_per_step: denoiser calls of a step between positive levels, that for D(x, σ) included.
    """

    def decorate(step: Step) -> Step:
        name = step.__name__
        SOLVERS.add(name, Solver(name, step, order, calls_per_step))
        return step

    return decorate


def get_solver(solver: str | Solver) -> Solver:
    """The solver of that name; a Solver is handed back as it is. Raises a ValueError that lists the names."""
    if isinstance(solver, Solver):
        return solver
    return SOLVERS.find(solver)
