"""Statistics of scores over cells and seeds (Agarwal et al. 2021, arXiv:2108.13264). It needs numpy alone.

Scores are a list with an array for each cell, which holds the scores of its seeds. Cells may have different seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Scores = Sequence[np.ndarray]  # one (seeds,) array for each cell
DRAWS = 2000  # of the bootstrap
CONFIDENCE = 0.95


def interquartile_mean(scores: Scores) -> float:
    """The mean of the middle half of all scores, over cells and seeds together."""
    return float(_middle(np.concatenate(scores)))


def interquartile_interval(scores: Scores, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The stratified percentile bootstrap interval of 95 % of `interquartile_mean`.

    Each draw takes new seeds within each cell, and the same cells. So it tells how far other seeds could move the mean,
    and not other cells. Cells with one seed do not move.
    """
    rng = np.random.default_rng(seed)
    drawn = [cell[rng.integers(len(cell), size=(draws, len(cell)))] for cell in scores]
    return _bounds(_middle(np.concatenate(drawn, axis=1)))


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """(T,) shares of all runs with a score above each of (T,) thresholds, as the mean over cells of their shares."""
    shares: np.ndarray = np.mean([(cell[:, None] > thresholds).mean(axis=0) for cell in scores], axis=0)
    return shares


def probability_of_improvement(first: Scores, second: Scores) -> float:
    """The mean over cells of P(a run of the first scores more than one of the second), ties counting half.

    Args:
        first, second: scores in the same cells, in the same order.
    """
    return float(np.mean([_wins(x, y).mean() for x, y in zip(first, second, strict=True)]))


def improvement_interval(first: Scores, second: Scores, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The stratified bootstrap interval of `probability_of_improvement`, with new seeds of both within each cell."""
    rng, total = np.random.default_rng(seed), np.zeros(draws)
    for x, y in zip(first, second, strict=True):
        rows, columns = (rng.integers(len(cell), size=(draws, len(cell))) for cell in (x, y))
        total += _wins(x, y)[rows[:, :, None], columns[:, None, :]].mean(axis=(1, 2))
    return _bounds(total / len(first))


def _middle(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half along the last axis."""
    count = values.shape[-1]
    cut = count // 4
    mean: np.ndarray = np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1)
    return mean


def _wins(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, m) 1 where the first is higher, and ½ where they are equal."""
    differences = first[:, None] - second
    wins: np.ndarray = (differences > 0) + (differences == 0) / 2
    return wins


def _bounds(drawn: np.ndarray) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
