"""StepOptim's grid: the least bound on how errors of the denoiser reach the end, without any call of it."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from art_gym.denoisers.base import Denoiser
from art_gym.schedules.grids.base import edm_grid

ORDER = 3  # of the multistep method in the bound
POWER = 2  # p of the assumed error of D, σ^p/α; 2 is published for models of pixels
UNSTABLE, TRUNCATED = 7, 3  # as published: up to 7 steps, the first 3 let no errors cancel
NODES, SHARES = np.polynomial.legendre.leggauss(12)


def step_optim(denoiser: Denoiser, num_steps: int) -> np.ndarray:
    """Return the (K+1,) levels of "Optimized Time Steps" (Xue et al. 2024, arXiv:2402.17376).

    The grid ends at σ_min, as published, and its last level is then replaced by 0. The paper takes a trust region
    method with constraints. Here the lengths of the steps are a softmax, which needs none, and BFGS finds them. It is a
    local search as theirs: more thorough ones find lower bounds with many steps, and worse grids.

    Args:
        denoiser: gives the noise range. It is not called.
        num_steps: K.
    """
    start, stop = -np.log(denoiser.sigma_max), -np.log(denoiser.sigma_min)  # λ

    def grid(numbers: np.ndarray) -> np.ndarray:
        lengths = np.exp(numbers - numbers.max())
        logs: np.ndarray = start + (stop - start) * np.append(0, np.cumsum(lengths / lengths.sum()))
        return logs

    geometric, ending = np.zeros(num_steps), -np.log(edm_grid(num_steps + 1, denoiser)[:-1])
    found = [
        optimize.minimize(lambda numbers: np.log(bound(grid(numbers))), first, method="BFGS")
        for first in (geometric, np.log(np.diff(ending)))
    ]
    levels: np.ndarray = np.exp(-grid(min(found, key=lambda one: one.fun).x))
    levels[0], levels[-1] = denoiser.sigma_max, 0.0
    return levels


def bound(logs: np.ndarray) -> float:
    """The bound of Xue et al. for (K+1,) levels λ = −log σ: Σ_i σ_i^p/α_i |Σ_n w_ni|, in the units of the last σ.

    w_ni = ∫ e^λ l_ni(λ) dλ over step n, where l_ni is the Lagrange polynomial of the estimate i among those that the
    step combines. The first and last steps combine fewer.
    """
    count = len(logs) - 1
    sigma = np.exp(-logs[:-1])
    alpha = 1 / np.sqrt(1 + sigma**2)  # the paper's levels are those of a variance-preserving model
    error = (alpha * sigma) ** POWER / alpha
    apart, together = 0.0, np.zeros(count)
    for n in range(count):
        order = min(n + 1, count - n, ORDER)
        used = slice(n + 1 - order, n + 1)
        terms = error[used] * _weights(logs[used], logs[n], logs[n + 1], logs[-1])
        if n < TRUNCATED and count <= UNSTABLE:
            apart += float(np.linalg.norm(terms))
        else:
            together[used] += terms
    return apart + float(np.abs(together).sum())


def _weights(nodes: np.ndarray, start: float, stop: float, end: float) -> np.ndarray:
    """∫ e^{λ − end} of each Lagrange polynomial through the nodes, from start to stop."""
    at = start + (NODES + 1) / 2 * (stop - start)  # (12,)
    measure = SHARES * (stop - start) / 2 * np.exp(at - end)
    others = [np.delete(nodes, i) for i in range(len(nodes))]
    basis = [np.prod((at[:, None] - rest) / (node - rest), axis=1) for node, rest in zip(nodes, others, strict=True)]
    found: np.ndarray = np.array(basis) @ measure
    return found
