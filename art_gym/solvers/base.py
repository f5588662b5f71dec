"""The solver interface: one step between two positive noise levels, with one σ per sample.

The step to 0 is the same for all solvers (`land`). The caller computes D(x, σ) and passes it to the solver, so an
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
from art_gym.denoisers.base import per_sample as per_sample  # for solvers, also those of plugins

Denoise = Callable[[Array, Array], Array]


class Previous(NamedTuple):
    """D and σ of the previous step, for multistep solvers. σ = ∞ marks a first step, where D is any finite value."""

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
        """Return the denoiser calls per sample for ``num_steps`` steps. The last step lands on 0 with one call."""
        return self.calls_per_step * (num_steps - 1) + 1


def log(values: Array) -> Array:
    """The natural logarithm of a numpy array or a tensor."""
    # For one sample, the search for numpy's namespace takes three times as long as the logarithm.
    return np.log(values) if isinstance(values, np.ndarray) else array_namespace(values).log(values)


def land(denoised: Array) -> Array:
    """The step from σ to 0: an Euler step, x₀ = D(x, σ)."""
    return denoised


SOLVERS: Registry[Solver] = Registry("solver", "art_gym.solvers")


def solver(order: int, calls_per_step: int) -> Callable[[Step], Step]:
    """Register a step function as a solver under the function's name.

    Args:
        order: order of convergence.
        calls_per_step: denoiser calls of a step between positive levels, including the one for D(x, σ).
    """

    def decorate(step: Step) -> Step:
        name = step.__name__
        SOLVERS.add(name, Solver(name, step, order, calls_per_step))
        return step

    return decorate


def get_solver(solver: str | Solver) -> Solver:
    """Return the solver of that name, or a Solver unchanged. Raises a ValueError that lists the names."""
    if isinstance(solver, Solver):
        return solver
    return SOLVERS.find(solver)
