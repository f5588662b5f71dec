"""The oracle: the best fixed grid, found by gradients through the solver from many starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.schedules.closed_forms import art, dual_weighted
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.search.defect import STEPS, defect
from art_gym.search.evolution import evolve
from art_gym.search.gauss_newton import GaussNewton, working_precision
from art_gym.search.tuned import tuned
from art_gym.solvers.base import Solver, get_solver
from art_gym.solvers.loop import integrate

if TYPE_CHECKING:
    import torch

SCREENING = 256  # latents on which all starts are refined a little
SCREENING_ITERATIONS = 15
FINALISTS = 2  # starts that are refined thoroughly
GRADIENT_ELEMENTS = 65536  # of the latents that they are refined on by gradients: 1024 of Digits
ITERATIONS = 60


def loss_and_gradient(
    logits: np.ndarray, denoiser: Denoiser, solver: str | Solver, start: torch.Tensor, endpoints: torch.Tensor
) -> tuple[float, np.ndarray]:
    """Log of the mean endpoint error of a grid, and its gradient with respect to the grid's logits.

    Args:
        logits: (K−1,) as in `levels_from_logits`.
        denoiser, solver: what the grid is for; the denoiser must let gradients of torch through.
        start, endpoints: (B, *shape) noises at σ_max and their precise endpoints.
    """
    import torch

    free = torch.tensor(logits, dtype=start.dtype, requires_grad=True)
    samples = integrate(denoiser, levels_from_logits(free, denoiser), start, solver)
    squares = ((samples - endpoints) ** 2).reshape(len(start), -1).mean(dim=1)
    loss = torch.log(torch.sqrt(squares + 1e-16).mean())  # √ has no gradient at 0
    (gradient,) = torch.autograd.grad(loss, free)
    return float(loss.detach()), gradient.double().numpy()


def optimise(
    denoiser: Denoiser,
    num_steps: int,
    solver: str | Solver,
    start: np.ndarray,
    endpoints: np.ndarray,
    seed: int = 0,
    tick: Callable[[str], None] = lambda _: None,
) -> np.ndarray:
    """The grid of least mean endpoint error, by L-BFGS over its K−1 free levels.

    Starts are the hand-made grids, tuned ones, closed forms, what CMA-ES and Gauss-Newton find, and disturbed copies of
    the best of them: the problem has bad local optima. All are refined briefly on a few latents, the best few
    thoroughly on many, the best of those on all by Gauss-Newton: the mean is ruled by few latents, and wants many.

    Args:
        denoiser, solver, num_steps: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        seed: of the disturbed starts.
        tick: called with a label at each stage, to show progress.

    Returns:
        (K+1,) levels with a trailing 0.
    """
    import torch

    if num_steps == 1:
        return np.array([denoiser.sigma_max, 0.0])
    few = slice(min(SCREENING, len(start)))
    grids = [make_grid(name, num_steps, denoiser) for name in ("edm", "log_snr", "cosine", "arctan", "sigmoid")]
    grids += [tuned(name, num_steps, denoiser, solver, start[few], endpoints[few])[0] for name in ("log_normal", "edm")]
    tick("evolution")
    *_, evolved = evolve(denoiser, num_steps, solver, start, endpoints, generations=60 + 10 * num_steps, seed=seed)
    grids.append(evolved)
    grids += [art(denoiser, num_steps, start[few]), dual_weighted(denoiser, num_steps, start[: min(64, len(start))])]
    tick("gauss-newton")
    grids.append(defect(denoiser, num_steps, solver, start, endpoints, seed))
    start, endpoints = (array.astype(working_precision(start)) for array in (start, endpoints))
    arrays = torch.from_numpy(start), torch.from_numpy(endpoints)
    many = slice(min(GRADIENT_ELEMENTS // start[0].size, len(start)))

    def refined(logits: np.ndarray, rows: slice, iterations: int) -> tuple[float, np.ndarray]:
        def target(z: np.ndarray) -> tuple[float, np.ndarray]:
            return loss_and_gradient(z, denoiser, solver, arrays[0][rows], arrays[1][rows])

        bounds = [(-8.0, 8.0)] * len(logits)
        options = {"maxiter": iterations, "maxfun": 2 * iterations}
        found = optimize.minimize(target, logits, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return float(found.fun), found.x

    pool = []
    for index, levels in enumerate(grids):
        tick(f"start {index + 1} of {len(grids)}")
        logits = np.clip(logits_from_levels(levels, denoiser), -7.5, 7.5)
        pool.append(refined(logits, few, SCREENING_ITERATIONS))
    pool.sort(key=lambda entry: entry[0])
    rng = np.random.default_rng([seed, num_steps])
    for index in range(FINALISTS):
        tick(f"disturbed start {index + 1} of {FINALISTS}")
        logits = pool[index][1] + 0.3 * rng.standard_normal(num_steps - 1)
        pool.append(refined(np.clip(logits, -7.5, 7.5), few, SCREENING_ITERATIONS))
    pool.sort(key=lambda entry: entry[0])
    finals = []
    for index, (_, logits) in enumerate(pool[:FINALISTS]):
        tick(f"finalist {index + 1} of {FINALISTS}")
        finals.append(refined(logits, many, ITERATIONS))
    _, best = min(finals, key=lambda entry: entry[0])
    tick("all latents")
    _, best = GaussNewton(Counted(denoiser), get_solver(solver), start, endpoints).improve(best, STEPS)
    return levels_from_logits(best, denoiser)
