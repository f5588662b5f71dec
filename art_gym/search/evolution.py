"""Black-box search for a fixed grid or sampler, with the CMA-ES library of its author (Hansen 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from art_gym.common.isolation import isolated
from art_gym.measures.errors import endpoint_error
from art_gym.search.base import Candidate, Sought, search
from art_gym.search.spaces import Found, Space

CANDIDATES = 12  # in a generation
BATCH = 64  # noises that score a generation
GENERATIONS = 50  # plus ten for each number
YIELDED = 10  # generations between two yielded candidates
SPREAD = 0.7  # standard deviation of a logit among the first candidates


@search("cma")
def cma(sought: Sought) -> Iterator[Candidate]:
    """CMA-ES from the first plan of the space. See `evolve`."""
    space, steps = sought.space, sought.steps
    generations = GENERATIONS + 10 * space.size if steps is None else max(steps // sought.num_steps // CANDIDATES, 1)
    found = evolve(space, sought.start, sought.endpoints, generations, seed=sought.seed)
    for generation, plan in enumerate(found, start=1):
        if generation % YIELDED == 0 or generation == generations:
            yield Candidate(generation * CANDIDATES, plan)


def evolve(
    space: Space[Found],
    start: np.ndarray,
    endpoints: np.ndarray,
    generations: int,
    candidates: int = CANDIDATES,
    batch: int = BATCH,
    seed: int = 0,
    first: np.ndarray | None = None,
    spread: float = 1.0,
) -> Iterator[Found]:
    """Run CMA-ES on the numbers of a space.

    Args:
        space: what to choose from.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        generations, candidates: how many generations, and how many candidates in each.
        batch: how many noises score a generation. They are drawn with replacement and shared by its candidates.
        seed: of the search and of the batches.
        first: (P,) numbers to begin with, by default those of the space.
        spread: factor on the standard deviations of the first candidates.

    Yields:
        The levels, or the sampler, of the mean after each generation.
    """
    with isolated():  # the import adds warning filters
        from cma import CMAEvolutionStrategy  # takes half a second

    rng, floor = np.random.default_rng([seed, space.num_steps]), 1e-4 * space.denoiser.data_std  # the score's floor
    # CMA-ES refuses one dimension, so K = 2 has a dummy second one. Its stopping rules suit only exact losses: off.
    options: dict[str, Any] = {"popsize": candidates, "verbose": -9, "tolfun": 0, "tolx": 0, "tolflatfitness": 10**6}
    # By default it seeds numpy's global generator. A separate generator gives the same numbers.
    options |= {"seed": np.nan, "randn": np.random.RandomState(seed + 1).randn}
    middle, spreads = np.zeros(max(space.size, 2)), np.full(max(space.size, 2), SPREAD)
    middle[: space.size], spreads[: space.size] = space.first() if first is None else first, space.spreads()
    if np.ptp(spreads):
        options["CMA_stds"] = spreads / SPREAD
    strategy = CMAEvolutionStrategy(middle, SPREAD * spread, options)
    for _ in range(generations):
        asked = strategy.ask()
        rows = rng.integers(len(start), size=batch)
        # One run for all candidates: each sample has the numbers of its candidate.
        numbers = np.repeat(np.array(asked)[:, : space.size], batch, axis=0).T  # (P, candidates · batch)
        rows = np.tile(rows, candidates)  # (candidates · batch,)
        samples = space.samples(numbers, start[rows])
        errors = endpoint_error(samples, endpoints[rows]).reshape(candidates, batch).mean(axis=1)
        strategy.tell(asked, [float(np.log(max(error, floor))) for error in errors])
        yield space.plan(strategy.mean[: space.size])
