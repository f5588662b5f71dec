"""The grid of the best ELBO, by dynamic programming (Watson, Ho, Norouzi, Chan 2021, arXiv:2106.03802).

The paper's idea is followed, without its code: the ELBO is a sum over steps, so the best K of many levels are found
exactly. Its tables are over the steps of training, here over the levels of a fine grid.
"""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.fitted.base import Diffused, fitted
from art_gym.schedules.fitted.gits import cheapest_path

NODES = 256


@fitted("elbo")
def elbo(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """The K of 256 steps down to σ_min with the greatest ELBO of ancestral sampling.

    A step from σ to s costs KL(q(x_s | x_σ, x₀) ‖ q(x_s | x_σ, D)) = ½ (1/s² − 1/σ²) E‖x₀ − D(x_σ, σ)‖². This is the
    paper's L(t, s) with the variance of the posterior. The term of the data given x at σ_min is the same for all
    grids. σ_min is replaced by 0. The ELBO weighs details most: small levels get nearly all steps.

    It is meant for ancestral sampling, which is stochastic. The solvers here are not.

    Cost: 320 evaluations for each latent. Free parameter: the fine grid.
    """
    nodes = reference_grid(denoiser, max(NODES, 2 * num_steps))[:-1]
    diffused = Diffused(denoiser, start)
    costs = step_costs(nodes, np.array([diffused.mmse(sigma) for sigma in nodes]))
    return np.append(nodes[cheapest_path(costs, num_steps, 1.0)[:-1]], 0.0)


def step_costs(nodes: np.ndarray, mmse: np.ndarray) -> np.ndarray:
    """(M, M) negative ELBO of a step from one of (M,) decreasing levels to a later one, infinite elsewhere.

    Args:
        nodes: positive levels.
        mmse: (M,) E‖x₀ − D(x_σ, σ)‖² there.
    """
    precision = 1 / nodes**2
    costs: np.ndarray = (precision - precision[:, None]) * mmse[:, None] / 2  # (M, M)
    costs[np.tril_indices(len(nodes))] = np.inf
    return costs
