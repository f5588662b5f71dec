"""Align Your Steps: the KL upper bound (KLUB), a level at a time (Sabour, Fidler, Kreis 2024, arXiv:2404.14507).

The authors' code of the search was not at hand. What is followed is the bound, sampling by importance, one level at a
time and early stopping. How many candidates, rounds and samples there are is ours.
"""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser, per_sample, visible
from art_gym.schedules.closed_forms import norms
from art_gym.schedules.fitted.base import Diffused, fitted
from art_gym.schedules.grids.base import make_grid

ROUNDS = 2  # over all levels; the search stops early, as published, because the minimum has nearly no coarse steps
CANDIDATES = 7  # levels between the neighbours, evenly in log σ, beside the present one
NEWTON = 8  # steps


@fitted("align_your_steps")
def align_your_steps(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """EDM's K steps down to σ_min, in which each level has moved twice to where the KLUB is least.

    A step from u to l adds ∫ E‖D(x_t, t) − D(x_u, u)‖²/t³ dt, from l to u. It bounds the divergence of the samples of a
    stochastic solver, so the grid is meant for stochastic solvers. The solvers here are not.

    With an exact denoiser the mean is mmse(u) − mmse(t), so the bound is what the ELBO loses, and without an early stop
    the grid is that of `elbo`. How early it stops decides the grid. σ_min is replaced by 0.

    Cost: 64 (K − 1) + 64 evaluations for each latent. Free parameters: the first grid, rounds and candidates.
    """
    bound = Bound(Diffused(denoiser, start), denoiser.data_std)
    levels = make_grid("edm", num_steps + 1, denoiser)[:-1]  # (K+1,) to σ_min
    for _ in range(ROUNDS):
        for i in range(1, num_steps):
            levels[i] = _best(bound, levels[i - 1], levels[i], levels[i + 1])
    levels[-1] = 0.0
    return levels


class Bound:
    """The KLUB of one step, by importance sampling with the same random numbers for all steps.

    Args:
        diffused: the model's own samples.
        scale: standard deviation of the Gaussian data for which the samples are the right ones.
    """

    def __init__(self, diffused: Diffused, scale: float) -> None:
        self.diffused, self.scale = diffused, scale
        self.fractions = (np.arange(len(diffused.clean)) + 0.5) / len(diffused.clean)  # (B,)
        self.more_noise = np.roll(diffused.noise, 1, axis=0)

    def step(self, upper: float, lower: float) -> float:
        """∫ E‖D(x_t, t) − D(x_u, u)‖²/t³ dt from ``lower`` to ``upper`` = u, as a mean over the elements.

        x_u is x_t with more noise. It costs two evaluations for each latent.
        """
        first = upper**-2 + self.scale**-2  # 1/u² + 1/c²; Gaussian data have mmse(t) = 1/(1/t² + 1/c²)
        growth = (lower**-2 - upper**-2) / first  # of that number, over the step
        mass = (growth - np.log1p(growth)) / 2  # the bound for Gaussian data
        growths = _growths(2 * mass * self.fractions)  # (B,)
        variances = 1 / (upper**-2 + growths * first)  # (B,) t², where t has the density of that bound
        diffused, levels = self.diffused, np.sqrt(variances)
        x = diffused.at(levels)
        noisier = x.copy()
        more = np.sqrt(upper**2 * growths * first * variances)  # √(u² − t²)
        visible(noisier, diffused.denoiser)[:] += per_sample(np.float32(more), x) * self.more_noise
        change = diffused.estimate(x, levels) - diffused.estimate(noisier, upper)
        squares = norms(change.astype(np.float64)) ** 2
        return float(mass * (squares * first * (1 + growths) / growths).mean())


def _growths(values: np.ndarray) -> np.ndarray:
    """The (B,) g > 0 with g − log(1 + g) = y, by Newton's method from above."""
    growths: np.ndarray = np.sqrt(2 * values) + values
    for _ in range(NEWTON):
        growths = growths - (growths - np.log1p(growths) - values) * (1 + growths) / growths
    return growths


def _best(bound: Bound, before: float, level: float, after: float) -> float:
    """The candidate between two neighbours with the least bound of the two steps."""
    candidates: list[float] = [level, *np.geomspace(before, after, CANDIDATES + 2)[1:-1]]
    bounds = [bound.step(before, between) + bound.step(between, after) for between in candidates]
    return candidates[int(np.argmin(bounds))]
