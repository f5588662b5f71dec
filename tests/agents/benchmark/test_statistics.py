"""Statistics against what they are by hand, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from art_gym.agents.benchmark.statistics import (
    improvement_interval,
    interquartile_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)


def cells(*rows: list[float]) -> list[np.ndarray]:
    return [np.array(row) for row in rows]


def test_interquartile_mean() -> None:
    assert interquartile_mean(cells([0.0, 1, 2], [3, 100])) == pytest.approx(2)  # one of five is cut on each side
    assert interquartile_mean(cells([-50.0, 1], [3, 9])) == 2
    assert interquartile_mean(cells([4.0])) == 4
    scores = np.random.default_rng(0).standard_normal((3, 7))
    assert interquartile_mean([*scores]) == pytest.approx(stats.trim_mean(scores.ravel(), 0.25))


def test_interval_of_equal_seeds_is_a_point() -> None:
    """Cells differ, seeds do not: strata keep the cells, so nothing moves."""
    assert interquartile_interval(cells([1, 1, 1], [5, 5, 5])) == (3, 3)


def test_interval_of_one_cell_is_the_bootstrap_of_scipy() -> None:
    scores = np.random.default_rng(1).standard_normal(40)
    low, high = interquartile_interval([scores], draws=20_000)
    of = stats.bootstrap(
        (scores,),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(2),
    )
    assert low == pytest.approx(of.confidence_interval.low, abs=0.02)
    assert high == pytest.approx(of.confidence_interval.high, abs=0.02)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        low, high = interquartile_interval([rng.standard_normal(20) for _ in range(5)], draws=200)
        hits += low <= 0 <= high
    assert 170 <= hits <= 199


def test_profile() -> None:
    scores = cells([0.0, 1, 2, 3], [1, 1])
    assert performance_profile(scores, np.array([-1.0, 0.5, 1.0, 5.0])).tolist() == [1, 7 / 8, 1 / 4, 0]


def test_probability_of_improvement() -> None:
    assert probability_of_improvement(cells([2, 3]), cells([0, 1, 1])) == 1
    assert probability_of_improvement(cells([1, 2]), cells([1, 2])) == 0.5
    assert probability_of_improvement(cells([1], [0]), cells([0], [1])) == 0.5
    first, second = np.random.default_rng(4).standard_normal((2, 30))
    by_scipy = stats.mannwhitneyu(first, second).statistic / 900
    assert probability_of_improvement([first], [second]) == pytest.approx(by_scipy)


def test_improvement_interval_draws_both_sides() -> None:
    low, high = improvement_interval(cells([0.0, 1, 2, 3]), cells([1.5, 2.5]))
    assert low < probability_of_improvement(cells([0.0, 1, 2, 3]), cells([1.5, 2.5])) < high
    assert improvement_interval(cells([5, 6]), cells([0, 1])) == (1, 1)
