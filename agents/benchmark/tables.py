"""What a leaderboard says: methods side by side on the same cells, the best of each class first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..studies.study import markdown
from .results import Line
from .scale import Ends
from .statistics import (
    Scores,
    improvement_interval,
    interquartile_interval,
    interquartile_mean,
    probability_of_improvement,
)
from .suite import Cell

FEWEST_CELLS = 3  # of a table
COSTS = ("calls", "seconds", "steps")


@dataclass(frozen=True)
class Entry:
    """A method on some cells.

    Attributes:
        algorithm, kind: its name and class.
        scores: an array for each cell, with its seeds.
        iqm, low, high: interquartile mean of the scores, and its stratified bootstrap interval of 95 %.
        ratio: geometric mean over all runs of error over the best known.
        calls, seconds, steps: medians over all runs.
        seeds: the fewest and the most of a cell.
    """

    algorithm: str
    kind: str
    scores: Scores
    iqm: float
    low: float
    high: float
    ratio: float
    calls: float
    seconds: float
    steps: float
    seeds: tuple[int, int]


Runs = dict[str, dict[Cell, list[Line]]]  # by method and cell


def runs_of(lines: Iterable[Line]) -> Runs:
    """Lines with a score, by method and cell. Of two hashes in a cell and seed the later line counts."""
    latest = {(line.algorithm, line.cell, line.seed): line for line in lines if line.score is not None}
    found: Runs = {}
    for (algorithm, cell, _), line in latest.items():
        found.setdefault(algorithm, {}).setdefault(cell, []).append(line)
    return found


def coverages(runs: Runs) -> list[frozenset[Cell]]:
    """The different sets of cells that methods have results in, the largest first. Small ones are left out."""
    sets = {frozenset(cells) for cells in runs.values() if len(cells) >= FEWEST_CELLS}
    return sorted(sets, key=lambda cells: (-len(cells), sorted(cells)))


def entries(runs: Runs, cells: frozenset[Cell], scale: Mapping[Cell, Ends]) -> list[Entry]:
    """The methods that have results in all of these cells, best first.

    Args:
        runs: results.
        cells: where to compare.
        scale: of the suite.
    """
    ordered, found = sorted(cells), []
    for algorithm, by_cell in runs.items():
        if not cells <= by_cell.keys():
            continue
        lines = [line for cell in ordered for line in by_cell[cell]]
        scores = [np.array([line.score for line in by_cell[cell]], np.float64) for cell in ordered]
        low, high = interquartile_interval(scores)
        ratios = [scale[line.cell].ratio(line.error, line.seed) for line in lines]
        costs = {name: float(np.median([getattr(line, name) for line in lines])) for name in COSTS}
        seeds = [len(by_cell[cell]) for cell in ordered]
        found.append(
            Entry(
                algorithm,
                lines[0].kind,
                scores,
                interquartile_mean(scores),
                low,
                high,
                float(np.exp(np.mean(np.log(ratios)))),
                **costs,
                seeds=(min(seeds), max(seeds)),
            )
        )
    return sorted(found, key=lambda entry: -entry.iqm)


def table(found: Sequence[Entry]) -> str:
    """Markdown. The best of each class is bold."""
    rows, seen = [], set()
    for entry in found:
        name = entry.algorithm if entry.kind in seen else f"**{entry.algorithm}**"
        seen.add(entry.kind)
        low, high = entry.seeds
        rows.append(
            [
                name,
                entry.kind,
                _in_words(entry.iqm, (entry.low, entry.high), 3),
                f"{entry.ratio:.2f}",
                _improvement(found[0], entry),
                f"{entry.calls:,.0f}",
                f"{entry.seconds:.2f}",
                f"{entry.steps:,.0f}" if entry.steps else "–",
                str(low) if low == high else f"{low}–{high}",
            ]
        )
    heads = ["method", "class", "score (IQM, 95 %)", "error / best", "P(first is better)", "calls", "CPU seconds"]
    return markdown([*heads, "steps", "seeds"], rows)


def _improvement(first: Entry, entry: Entry) -> str:
    if entry is first:
        return "–"
    interval = improvement_interval(first.scores, entry.scores)
    return _in_words(probability_of_improvement(first.scores, entry.scores), interval, 2)


def _in_words(value: float, interval: tuple[float, float], digits: int) -> str:
    """A value with its interval, unless that is a point, as with one seed."""
    middle, low, high = (f"{round(number, digits) + 0.0:.{digits}f}" for number in (value, *interval))  # −0.0 is 0.0
    return middle + (f" [{low}, {high}]" if low != high else "")


def described(cells: Iterable[Cell]) -> str:
    """The cells in words: what all combinations have, and how many there are."""
    cells = list(cells)
    tasks, solvers, steps = (list(dict.fromkeys(sorted(values))) for values in zip(*cells, strict=True))
    text = f"{', '.join(tasks)}; {', '.join(solvers)}; K = {', '.join(map(str, steps))}"
    whole = len(tasks) * len(solvers) * len(steps)
    return f"{text} ({len(cells)} cells)" if len(cells) == whole else f"{text} ({len(cells)} of {whole} cells)"
