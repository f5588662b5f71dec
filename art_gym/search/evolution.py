"""Black-box search for a fixed grid, with the CMA-ES library of its author (Hansen 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from art_gym.common.isolation import isolated
from art_gym.denoisers.base import Denoiser
from art_gym.measures.errors import endpoint_error
from art_gym.schedules.fractions import LIMIT, levels_from_logits
from art_gym.search.base import Candidate, Sought, search
from art_gym.solvers.base import Solver
from art_gym.solvers.loop import integrate

CANDIDATES = 12  # in a generation
BATCH = 64  # noises that score a generation
GENERATIONS = 40  # plus ten for each step
YIELDED = 10  # generations between two yielded candidates


@search("cma")
def cma(sought: Sought) -> Iterator[Candidate]:
    """CMA-ES from the geometric grid. See `evolve`."""
    num_steps, steps = sought.num_steps, sought.steps
    generations = GENERATIONS + 10 * num_steps if steps is None else max(steps // num_steps // CANDIDATES, 1)
    found = evolve(
        sought.denoiser, num_steps, sought.solver, sought.start, sought.endpoints, generations, seed=sought.seed
    )
    for generation, levels in enumerate(found, start=1):
        if generation % YIELDED == 0 or generation == generations:
            yield Candidate(generation * CANDIDATES, levels)


def evolve(
    denoiser: Denoiser,
    num_steps: int,
    solver: str | Solver,
    start: np.ndarray,
    endpoints: np.ndarray,
    generations: int,
    candidates: int = CANDIDATES,
    batch: int = BATCH,
    seed: int = 0,
    first: np.ndarray | None = None,
    spread: float = 0.7,
) -> Iterator[np.ndarray]:
    """Run CMA-ES on the logits of `levels_from_logits`.

    Args:
        denoiser, solver, num_steps: what the grid is for.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        generations, candidates: how many generations, and how many candidates in each.
        batch: how many noises score a generation. They are drawn with replacement and shared by its candidates.
        seed: of the search and of the batches.
        first: (K−1,) logits to begin with; those of the geometric grid by default.
        spread: standard deviation of the first candidates' logits.

    Yields:
        (K+1,) levels of the mean after each generation.
    """
    with isolated():  # the import adds warning filters
        from cma import CMAEvolutionStrategy  # takes half a second

    rng, floor = np.random.default_rng([seed, num_steps]), 1e-4 * denoiser.data_std  # the floor of the score

    def grid(logits: np.ndarray) -> np.ndarray:
        levels: np.ndarray = levels_from_logits(np.clip(logits, -LIMIT, LIMIT)[: num_steps - 1], denoiser)
        return levels

    # CMA-ES refuses one dimension, so K = 2 has a dummy second one. Its stopping rules suit only exact losses: off.
    options: dict[str, Any] = {"popsize": candidates, "verbose": -9, "tolfun": 0, "tolx": 0, "tolflatfitness": 10**6}
    # By default it seeds numpy's global generator. A separate generator gives the same numbers.
    options |= {"seed": np.nan, "randn": np.random.RandomState(seed + 1).randn}
    middle = np.zeros(max(num_steps - 1, 2))
    if first is not None:
        middle[: num_steps - 1] = first
    strategy = CMAEvolutionStrategy(middle, spread, options)
    for _ in range(generations):
        asked = strategy.ask()
        rows = rng.integers(len(start), size=batch)
        # One run for all candidates: each sample has the grid of its candidate.
        grids = np.repeat([grid(logits) for logits in asked], batch, axis=0).T  # (K+1, candidates · batch)
        rows = np.tile(rows, candidates)  # (candidates · batch,)
        samples = integrate(denoiser, grids, start[rows], solver)
        errors = endpoint_error(samples, endpoints[rows]).reshape(candidates, batch).mean(axis=1)
        strategy.tell(asked, [float(np.log(max(error, floor))) for error in errors])
        yield grid(strategy.mean)
