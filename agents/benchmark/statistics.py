"""Statistics of scores over cells and seeds (Agarwal et al. 2021, arXiv:2108.13264). It needs numpy alone.

Scores are a list with an array for each cell, which holds the scores of its seeds. Cells may have different seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Scores = Sequence[np.ndarray]  # one (seeds,) array for each cell
Statistic = Callable[[Scores], float]
DRAWS = 2000  # of the bootstrap
CONFIDENCE = 0.95


def interquartile_mean(scores: Scores) -> float:
    """The mean of the middle half of all scores, over cells and seeds together."""
    ordered = np.sort(np.concatenate(scores))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def stratified_interval(
    scores: Scores, statistic: Statistic = interquartile_mean, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of 95 %. Each draw takes new seeds within each cell, and the same cells.

    It tells how far other seeds could move the statistic, and not other cells. Cells with one seed do not move.
    """
    rng = np.random.default_rng(seed)
    found = [statistic([rng.choice(cell, len(cell)) for cell in scores]) for _ in range(draws)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """(T,) shares of all runs with a score above each of (T,) thresholds, as the mean over cells of their shares."""
    shares: np.ndarray = np.mean([(cell[:, None] > thresholds).mean(axis=0) for cell in scores], axis=0)
    return shares


def probability_of_improvement(first: Scores, second: Scores) -> float:
    """The mean over cells of P(a run of the first scores more than one of the second), ties counting half.

    Args:
        first, second: scores in the same cells, in the same order.
    """
    return float(np.mean([_wins(x, y) for x, y in zip(first, second, strict=True)]))


def improvement_interval(first: Scores, second: Scores, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap interval of `probability_of_improvement`, with new seeds of both within each cell."""
    count = len(first)
    return stratified_interval(
        [*first, *second], lambda both: probability_of_improvement(both[:count], both[count:]), draws, seed
    )


def _wins(first: np.ndarray, second: np.ndarray) -> float:
    differences = first[:, None] - second
    return float((differences > 0).mean() + (differences == 0).mean() / 2)
