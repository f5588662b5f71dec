"""A fixed grid by black-box search: CMA-ES by its author's library (Hansen 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.isolation import isolated
from art_gym.quality import endpoint_error
from art_gym.sampling import integrate
from art_gym.schedules.fractions import LIMIT, levels_from_logits
from art_gym.solvers import Solver


def evolve(
    denoiser: Denoiser,
    num_steps: int,
    solver: str | Solver,
    start: np.ndarray,
    endpoints: np.ndarray,
    generations: int,
    candidates: int = 12,
    batch: int = 64,
    seed: int = 0,
    first: np.ndarray | None = None,
    spread: float = 0.7,
) -> Iterator[np.ndarray]:
    """CMA-ES on the logits of `levels_from_logits`, from the geometric grid.

    Args:
        denoiser, solver, num_steps: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        generations, candidates: of the search.
        batch: noises that a generation is judged on, common to its candidates, drawn with replacement.
        seed: of the search and of the batches.
        first: (K−1,) logits to begin with; those of the geometric grid by default.
        spread: of the first candidates' logits.

    Yields:
        (K+1,) levels of the mean after each generation.
    """
    with isolated():  # it adds filters of warnings
        import cma  # half a second

    rng, floor = np.random.default_rng([seed, num_steps]), 1e-4 * denoiser.data_std  # the floor of the score

    def grid(logits: np.ndarray) -> np.ndarray:
        return levels_from_logits(np.clip(logits, -LIMIT, LIMIT)[: num_steps - 1], denoiser)

    # CMA-ES refuses one dimension: for K = 2 the second one is a dummy. Its own stopping rules are for exact losses.
    options: dict[str, Any] = {"popsize": candidates, "verbose": -9, "tolfun": 0, "tolx": 0, "tolflatfitness": 10**6}
    # It would seed numpy's global generator: the same numbers come from a generator of its own.
    options |= {"seed": np.nan, "randn": np.random.RandomState(seed + 1).randn}
    middle = np.zeros(max(num_steps - 1, 2))
    if first is not None:
        middle[: num_steps - 1] = first
    strategy = cma.CMAEvolutionStrategy(middle, spread, options)
    for _ in range(generations):
        asked = strategy.ask()
        rows = rng.integers(len(start), size=batch)
        # All candidates together: a sample has the grid of its candidate.
        grids = np.repeat([grid(logits) for logits in asked], batch, axis=0).T  # (K+1, candidates · batch)
        rows = np.tile(rows, candidates)  # (candidates · batch,)
        samples = integrate(denoiser, grids, start[rows], solver)
        errors = endpoint_error(samples, endpoints[rows]).reshape(candidates, batch).mean(axis=1)
        strategy.tell(asked, [float(np.log(max(error, floor))) for error in errors])
        yield grid(strategy.mean)
