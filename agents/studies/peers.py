"""Samplers as others publish them: multistep methods on the best grid of each, BNS and S4S."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from array_api_compat import array_namespace

from art_gym.denoisers.base import Array, Counted, Denoiser
from art_gym.samplers import methods
from art_gym.samplers.coefficients import Coefficients, follow
from art_gym.samplers.freedom import MOST_MEMORY, Freedom
from art_gym.samplers.sampler import Sampler
from art_gym.samplers.traced import Method, traced
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.search.gradient import gradient_descent
from art_gym.search.least_squares import Fit, by_error, working_precision
from art_gym.search.sampler_defect import FIRST_TOLD
from art_gym.search.sampler_newton import SamplerNewton
from art_gym.search.spaces import Samplers

MULTISTEP: dict[str, Method] = {
    "UniPC, order 2": methods.unipc(2),
    "UniPC, order 3": methods.unipc(3),
    "DPM-Solver++(3M)": methods.dpmpp_3m,
    "DEIS": methods.deis,
    "iPNDM": methods.ipndm,
}
HAND_MADE = ("cosine", "arctan", "sigmoid", "log_snr", "edm")
LAST, RHO = (0.02, 0.05, 0.1, 0.2), (2.0, 4.0, 7.0)  # of EDM's grids to begin with; LAST in units of the data's std
SCREENING = 256  # latents for the starts
BEGUN, STEPS = 3, (12, 30)  # hand-made grids that are improved; Jacobians for starts and for finalists
STARTS_SHARE = 0.5  # of the budget: after it no new start begins
DISTURBED, SPREAD = 60, 0.4  # copies of the best grid, and the standard deviation of their logits
FINALISTS = 2
LATENTS = 2048  # for the finalists

ROUNDS = 4  # of S4S-Alt: weights, then levels
MEMORY = 3  # of S4S's multistep method


@dataclass(frozen=True)
class Learning:
    """The noises, and how long to learn on them.

    Attributes:
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        evaluations: of the denoiser, after which Gauss-Newton begins nothing new.
        updates, batch, rate: of Adam.
        seed: of disturbed starts and of batches.
    """

    start: np.ndarray
    endpoints: np.ndarray
    evaluations: float
    updates: int
    batch: int
    rate: float = 0.05
    seed: int = 0

    def newton(self, denoiser: Counted, method: Method, num_steps: int, latents: int, budget: float) -> SamplerNewton:
        """Gauss-Newton on the logits of a method's grid."""
        kind = working_precision(self.start)
        noises = self.start[:latents].astype(kind), self.endpoints[:latents].astype(kind)

        def make(logits: np.ndarray) -> Coefficients:
            return traced(method, levels_from_logits(logits, denoiser))

        return SamplerNewton(denoiser, num_steps, make, *noises, budget)


def best_grid_of(method: Method, denoiser: Counted, levels: np.ndarray, how: Learning) -> Coefficients:
    """Find the method's own best grid: Gauss-Newton over the levels alone, from the same levels and hand-made grids.

    Args:
        method: in `art_gym.samplers.methods`.
        denoiser: what it samples.
        levels: (K+1,) of a grid to begin with.
        how: the noises and the budget.
    """
    num_steps, before = len(levels) - 1, denoiser.evaluations
    few = how.newton(denoiser, method, num_steps, SCREENING, before + how.evaluations)
    many = how.newton(denoiser, method, num_steps, LATENTS, before + how.evaluations)
    grids = [make_grid(name, num_steps, denoiser) for name in HAND_MADE]
    grids += [make_grid("edm", num_steps, denoiser, last * denoiser.data_std, rho) for last in LAST for rho in RHO]
    known = sorted((few.improve(logits_from_levels(grid, denoiser), 0) for grid in grids), key=by_error)
    firsts = [logits_from_levels(levels, denoiser), *(fit.numbers for fit in known[:BEGUN])]
    pool: list[Fit] = []
    rng = np.random.default_rng([how.seed, num_steps])
    for i in range(len(firsts) + DISTURBED):
        if pool and denoiser.evaluations > before + STARTS_SHARE * how.evaluations:
            break
        disturbance = SPREAD * rng.standard_normal(num_steps - 1)
        first = firsts[i] if i < len(firsts) else min(pool, key=by_error).numbers + disturbance
        pool.append(few.improve(first, STEPS[0]))
    finals = [many.improve(fit.numbers, STEPS[1]) for fit in sorted(pool, key=by_error)[:FINALISTS]]
    return many.make(min(finals, key=by_error).numbers)


@dataclass(frozen=True)
class Part:
    """Some of the numbers of samplers. The others keep their values. See `art_gym.search.spaces.Space`."""

    whole: Samplers
    known: np.ndarray  # (P,)
    free: np.ndarray  # (P,) bool

    @property
    def denoiser(self) -> Denoiser:
        """D."""
        return self.whole.denoiser

    @property
    def num_steps(self) -> int:
        """K."""
        return self.whole.num_steps

    @property
    def size(self) -> int:
        """How many are free."""
        return int(self.free.sum())

    def first(self) -> np.ndarray:
        """The known values of the free numbers."""
        known: np.ndarray = self.known[self.free]
        return known

    def spreads(self) -> np.ndarray:
        """As of the whole."""
        spreads: np.ndarray = self.whole.spreads()[self.free]
        return spreads

    def all(self, numbers: Array) -> Array:
        """The (P,) numbers with these free ones."""
        xp = array_namespace(numbers)
        place = np.eye(len(self.known))[:, self.free]  # (P, free)
        return xp.asarray(np.where(self.free, 0, self.known), dtype=numbers.dtype) + (
            xp.asarray(place, dtype=numbers.dtype) @ numbers
        )

    def plan(self, numbers: np.ndarray) -> Coefficients:
        """The sampler."""
        return self.whole.plan(self.all(numbers))

    def samples(self, numbers: Array, x: Array) -> Array:
        """Its samples."""
        return follow(self.denoiser, self.plan(numbers), x)


def bns(denoiser: Denoiser, levels: np.ndarray, how: Learning, told: bool) -> Coefficients:
    """A bespoke non-stationary solver (Shaul et al. 2024, arXiv:2403.01329): each step weighs all earlier estimates.

    Adam through the sampler, as published, from 2M on the given levels. The steps stay exact for a constant denoiser,
    which the paper leaves open, and the loss is `gradient_descent`'s. ``told`` frees the levels that the model is told,
    the first of which begins as in our own search.
    """
    num_steps = len(levels) - 1
    space = Samplers(denoiser, num_steps, Freedom(min(num_steps, MOST_MEMORY), told))
    whole = Part(space, _first(space, levels, FIRST_TOLD if told else 1.0), np.full(space.size, True))
    return _last(_descend(whole, how, how.updates))


def s4s(denoiser: Denoiser, levels: np.ndarray, how: Learning, rounds: int) -> Coefficients:
    """S4S (Frankel et al. 2025, arXiv:2502.17423): Adam on the weights of a linear multistep method of three estimates.

    Without ``rounds`` the levels stay. With them it is S4S-Alt, which alternates between weights and levels. The paper
    lets the first latent move a little and compares images as people see them. Here the aim is the same endpoint.
    """
    num_steps = len(levels) - 1
    space = Samplers(denoiser, num_steps, Freedom(MEMORY, False))
    of_levels = np.arange(space.size) < num_steps - 1
    known = _first(space, levels)
    turns = [~of_levels, of_levels] * rounds or [~of_levels]
    for turn, free in enumerate(turns):
        part = Part(space, known, free)
        seeded = replace(how, seed=how.seed + 1000 * turn)  # other batches in each turn
        known = space.freedom.numbers(_last(_descend(part, seeded, max(how.updates // len(turns), 1))), denoiser)
    return space.plan(known)


def _first(space: Samplers, levels: np.ndarray, first_told: float = 1.0) -> np.ndarray:
    """The numbers of 2M, with this factor on the first level that the model is told."""
    made = Sampler.of(levels, "dpmpp_2m").coefficients()
    return space.freedom.numbers(made._replace(told=np.append(first_told, made.told[1:])), space.denoiser)


def _descend(part: Part, how: Learning, updates: int) -> Iterator[Coefficients]:
    return gradient_descent(part, how.start, how.endpoints, updates, how.batch, how.rate, how.seed)


def _last(found: Iterator[Coefficients]) -> Coefficients:
    *_, last = found
    return last
