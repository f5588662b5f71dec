"""One step each: Euler (DDIM), Heun, DPM-Solver++(2M), RK4 for dx/dσ = (x − D(x, σ))/σ, one σ per sample.

A solver only takes a step between two positive levels; the step to 0 is the same for all (`land`). It gets D(x, σ),
which the caller has already computed, so an environment can show it to its agent before the agent acts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace

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


def _log(values: Array) -> Array:
    # With one sample the search for numpy's namespace takes three times as long as the logarithm.
    return np.log(values) if isinstance(values, np.ndarray) else array_namespace(values).log(values)


def land(denoised: Array) -> Array:
    """The step from σ to 0: an Euler step, x₀ = D(x, σ)."""
    return denoised


def euler(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """Euler in σ, which is DDIM (Song et al. 2021): exact while D stays constant."""
    ratio = per_sample(sigma_next / sigma, x)
    return ratio * x + (1 - ratio) * denoised


def heun(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """Heun's second-order step in σ (Karras et al. 2022, algorithm 1)."""
    slope = (x - denoised) / per_sample(sigma, x)
    predicted = x + per_sample(sigma_next - sigma, x) * slope
    slope_next = (predicted - denoise(predicted, sigma_next)) / per_sample(sigma_next, x)
    return x + per_sample(sigma_next - sigma, x) * (slope + slope_next) / 2


def dpmpp_2m(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2) in λ = −log σ; the first step is first order."""
    log_sigma = _log(sigma)
    step = log_sigma - _log(sigma_next)  # h = λ_next − λ
    last_step = _log(previous.sigma) - log_sigma  # ∞ on a first step: the correction below vanishes
    weight = per_sample(step / (2 * last_step), x)  # 1 / 2r with r = last_step / step
    extrapolated = (1 + weight) * denoised - weight * previous.denoised
    ratio = per_sample(sigma_next / sigma, x)
    return ratio * x + (1 - ratio) * extrapolated


def rk4(denoise: Denoise, x: Array, denoised: Array, sigma: Array, sigma_next: Array, previous: Previous) -> Array:
    """The classical Runge–Kutta step in σ."""
    width = per_sample(sigma_next - sigma, x)
    middle = (sigma + sigma_next) / 2

    def slope(at: Array, level: Array) -> Array:
        return (at - denoise(at, level)) / per_sample(level, x)

    k1 = (x - denoised) / per_sample(sigma, x)
    k2 = slope(x + width / 2 * k1, middle)
    k3 = slope(x + width / 2 * k2, middle)
    k4 = slope(x + width * k3, sigma_next)
    return x + width / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


SOLVERS: dict[str, Solver] = {
    solver.name: solver
    for solver in (
        Solver("euler", euler, order=1, calls_per_step=1),
        Solver("heun", heun, order=2, calls_per_step=2),
        Solver("dpmpp_2m", dpmpp_2m, order=2, calls_per_step=1),
        Solver("rk4", rk4, order=4, calls_per_step=4),
    )
}


def get_solver(solver: str | Solver) -> Solver:
    """The solver of that name; a Solver is handed back as it is. Raises a ValueError that lists the names."""
    if isinstance(solver, Solver):
        return solver
    if not isinstance(solver, str) or solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}: choose one of {', '.join(SOLVERS)}")
    return SOLVERS[solver]
