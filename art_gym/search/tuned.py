"""Hand-made grids with their two parameters fitted on training noise."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from art_gym.denoisers.base import Denoiser
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.plans import draw_levels
from art_gym.schedules.grids.base import get_grid, make_grid
from art_gym.solvers.base import Solver

EVALUATIONS = 80  # evaluations of the error, for both starts together


def tuned(
    name: str,
    num_steps: int,
    denoiser: Denoiser,
    solver: str | Solver,
    start: np.ndarray,
    endpoints: np.ndarray,
) -> tuple[np.ndarray, tuple[float, float | None]]:
    """Fit a grid's last positive level (at least σ_min) and shape parameter by Nelder-Mead in their logarithms.

    Args:
        name: a key of `art_gym.schedules.grids.base.GRIDS`.
        num_steps: K.
        denoiser, solver: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.

    Returns:
        (K+1,) levels, and the two parameters (the second is None for grids without a shape).
    """
    published = get_grid(name).published(denoiser)
    has_shape = published[1] is not None
    shape = 0.0 if published[1] is None else float(np.log(published[1]))
    reaches = published[0] if published[0] is not None else make_grid(name, num_steps, denoiser)[-2]

    def parameters(logs: np.ndarray) -> tuple[float, float | None]:
        return float(np.exp(logs[0])), float(np.exp(logs[1])) if has_shape else None

    def loss(logs: np.ndarray) -> float:
        try:
            levels = make_grid(name, num_steps, denoiser, *parameters(logs))
        except (ValueError, OverflowError, FloatingPointError):
            return 1e3  # these parameters give no grid
        if levels[-2] < denoiser.sigma_min * (1 - 1e-9):  # the logarithm may cost a digit
            return 1e3
        return float(np.log(endpoint_error(draw_levels(denoiser, levels, start, solver), endpoints).mean()))

    # The published last level is often far from the best one. The second start has it at a tenth of the data's scale.
    firsts = [np.log([reaches, 1.0]), np.log([0.1 * denoiser.data_std, 1.0])]
    best: optimize.OptimizeResult | None = None
    for first in firsts:
        first[1] = shape
        free = first if has_shape else first[:1]
        simplex = np.vstack([free, free + np.diag([0.7, 0.4][: len(free)])])
        options = {"maxfev": EVALUATIONS // 2, "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-4}
        with np.errstate(all="ignore"):  # extreme parameters overflow before make_grid refuses them
            found = optimize.minimize(loss, free, method="Nelder-Mead", options=options)
        if best is None or found.fun < best.fun:
            best = found
    assert best is not None
    fitted = parameters(best.x)
    return make_grid(name, num_steps, denoiser, *fitted), fitted
