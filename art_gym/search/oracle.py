"""The oracle: the best fixed grid, found by gradients through the solver from many starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from art_gym.denoisers.base import LARGE, Counted, Denoiser
from art_gym.schedules.closed_forms import art, dual_weighted
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.search.defect import STEPS, defect
from art_gym.search.evolution import evolve
from art_gym.search.gauss_newton import GaussNewton
from art_gym.search.least_squares import by_error, working_precision
from art_gym.search.spaces import Grids
from art_gym.search.tuned import tuned
from art_gym.solvers.base import Solver, get_solver
from art_gym.solvers.loop import integrate

if TYPE_CHECKING:
    import torch

SCREENING = 256  # latents for the short refinement of all starts
SCREENING_ITERATIONS = 15
FINALISTS = 4  # grids that are refined thoroughly
GRADIENT_ELEMENTS = 65536  # of all latents in that refinement by gradients: 1024 latents of Digits
ITERATIONS = 60


def loss_and_gradient(
    logits: np.ndarray, denoiser: Denoiser, solver: str | Solver, start: torch.Tensor, endpoints: torch.Tensor
) -> tuple[float, np.ndarray]:
    """Log of the mean endpoint error of a grid, and its gradient with respect to the grid's logits.

    Args:
        logits: (K−1,) as in `levels_from_logits`.
        denoiser, solver: what the grid is for. Torch must be able to differentiate through the denoiser.
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
) -> np.ndarray:
    """Find the grid of least mean endpoint error. It is no worse than any of its starts on these noises.

    Starts are hand-made grids, tuned ones, closed forms, results of CMA-ES and Gauss-Newton, and disturbed copies of
    the best of them, because the problem has bad local optima. L-BFGS refines all of them briefly on a few latents and
    the best ones thoroughly on many. Gauss-Newton improves the best ones on all latents, because a few latents rule the
    mean. Every grid on the way is a candidate, and all latents choose among them. Models of large latents are slow, so
    for them Gauss-Newton alone searches (`defect`).

    Args:
        denoiser, solver, num_steps: what the grid is for. A denoiser without gradients of torch does without L-BFGS.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        seed: of the disturbed starts.

    Returns:
        (K+1,) levels with a trailing 0.
    """
    if num_steps == 1:
        return np.array([denoiser.sigma_max, 0.0])
    large, search = start[0].size >= LARGE, (denoiser, num_steps, solver, start, endpoints, seed)
    grids = [defect(*search)] if large else _starts(*search)
    start, endpoints = (array.astype(working_precision(start)) for array in (start, endpoints))
    if not large and _lets_gradients_through(denoiser):
        grids += _refined(grids, denoiser, num_steps, solver, start, endpoints, seed)
    newton = GaussNewton(Counted(denoiser), get_solver(solver), start, endpoints)
    pool = sorted((newton.improve(logits_from_levels(levels, denoiser), 0) for levels in grids), key=by_error)
    improved = [newton.improve(fit.numbers, STEPS) for fit in pool[:FINALISTS]]
    best = min(improved + pool, key=by_error)
    assert best.error <= pool[0].error
    levels: np.ndarray = levels_from_logits(best.numbers, denoiser)
    return levels


def _starts(
    denoiser: Denoiser, num_steps: int, solver: str | Solver, start: np.ndarray, endpoints: np.ndarray, seed: int
) -> list[np.ndarray]:
    """Grids to start from."""
    few = start[:SCREENING], endpoints[:SCREENING]
    grids = [make_grid(name, num_steps, denoiser) for name in ("edm", "log_snr", "cosine", "arctan", "sigmoid")]
    grids += [tuned(name, num_steps, denoiser, solver, *few)[0] for name in ("log_normal", "edm")]
    grid_space = Grids(denoiser, num_steps, solver)
    *_, evolved = evolve(grid_space, start, endpoints, generations=60 + 10 * num_steps, seed=seed)
    grids += [evolved, art(denoiser, num_steps, few[0]), dual_weighted(denoiser, num_steps, start[:64])]
    grids.append(defect(denoiser, num_steps, solver, start, endpoints, seed))
    return grids


def _refined(
    grids: list[np.ndarray],
    denoiser: Denoiser,
    num_steps: int,
    solver: str | Solver,
    start: np.ndarray,
    endpoints: np.ndarray,
    seed: int,
) -> list[np.ndarray]:
    """What L-BFGS makes of grids and of disturbed copies of the best ones."""
    few, many = (
        _Refiner(denoiser, solver, start[:count], endpoints[:count])
        for count in (SCREENING, GRADIENT_ELEMENTS // start[0].size)
    )
    pool = [few.refined(logits_from_levels(levels, denoiser), SCREENING_ITERATIONS) for levels in grids]
    pool.sort(key=_loss)
    rng = np.random.default_rng([seed, num_steps])
    for _, logits in pool[:FINALISTS]:
        disturbed = logits + 0.3 * rng.standard_normal(num_steps - 1)
        pool.append(few.refined(disturbed, SCREENING_ITERATIONS))
    pool.sort(key=_loss)
    pool += [many.refined(logits, ITERATIONS) for _, logits in pool[:FINALISTS]]
    return [levels_from_logits(logits, denoiser) for _, logits in pool]


def _lets_gradients_through(denoiser: Denoiser) -> bool:
    """Whether the denoiser takes tensors and its results depend on them in torch's sense."""
    import torch

    x = torch.zeros((2, *denoiser.shape), requires_grad=True)
    try:
        found = denoiser(x, torch.full((2,), denoiser.data_std))
    except Exception:  # whatever a function of numpy arrays raises
        return False
    return bool(getattr(found, "requires_grad", False))


class _Refiner:
    """L-BFGS on some latents."""

    def __init__(self, denoiser: Denoiser, solver: str | Solver, start: np.ndarray, endpoints: np.ndarray) -> None:
        import torch

        self.denoiser, self.solver = denoiser, solver
        self.start, self.endpoints = torch.from_numpy(start), torch.from_numpy(endpoints)

    def refined(self, logits: np.ndarray, iterations: int) -> tuple[float, np.ndarray]:
        """Return the loss and the (K−1,) logits after this many iterations."""
        logits = np.clip(logits, -7.5, 7.5)
        bounds = [(-8.0, 8.0)] * len(logits)
        options = {"maxiter": iterations, "maxfun": 2 * iterations}
        found = optimize.minimize(self._target, logits, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return float(found.fun), found.x

    def _target(self, logits: np.ndarray) -> tuple[float, np.ndarray]:
        return loss_and_gradient(logits, self.denoiser, self.solver, self.start, self.endpoints)


def _loss(refined: tuple[float, np.ndarray]) -> float:
    return refined[0]
