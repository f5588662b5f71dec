"""Pictures of a leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..reports.style import PALETTE, new_figure, plain_ticks, write_picture
from .method import KINDS
from .statistics import performance_profile
from .tables import Entry

COLOURS = dict(zip(KINDS, PALETTE, strict=True))
LOWEST = -1.0  # scores below are drawn here
WORST = 0.1  # calls, seconds and steps of 0 are drawn at a tenth of the least
COSTS = {"calls": "calls of the model", "seconds": "CPU seconds", "steps": "environment steps"}


def scores(file: Path, found: Sequence[Entry]) -> Path:
    """Interquartile means with their intervals, best on top, a colour for each class."""
    figure = new_figure(0.24 * len(found) + 1.6)
    axes = figure.subplots()
    for row, entry in enumerate(found):
        colour = _colour(entry)
        ends = np.clip([entry.low, entry.high], LOWEST, None)
        axes.plot(ends, [row, row], color=colour, linewidth=4, alpha=0.45, solid_capstyle="butt")
        axes.plot(max(entry.iqm, LOWEST), row, "o" if entry.iqm >= LOWEST else "<", color=colour, markersize=6)
    axes.set_yticks(range(len(found)), [entry.algorithm for entry in found])
    for label, entry in zip(axes.get_yticklabels(), found, strict=True):
        label.set_color(_colour(entry))
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlabel(f"score, IQM and 95 % (0 = EDM's grid, 1 = best known; below {LOWEST:g} drawn there)")
    axes.grid(axis="x", alpha=0.25)
    _legend(axes, found)
    return write_picture(figure, file)


def profiles(file: Path, found: Sequence[Entry]) -> Path:
    """Shares of runs above each score, for the best method of each class."""
    figure = new_figure(4.4)
    axes = figure.subplots()
    best = list({entry.kind: entry for entry in reversed(found)}.values())
    top = max(float(np.max(np.concatenate(entry.scores))) for entry in best)
    thresholds = np.linspace(LOWEST, max(top, 1.0) + 0.05, 400)
    for entry in sorted(best, key=lambda entry: -entry.iqm):
        shares = performance_profile(entry.scores, thresholds)
        axes.plot(thresholds, shares, color=_colour(entry), label=f"{entry.algorithm} ({entry.kind})")
    axes.set(xlabel="score τ", ylabel="share of runs with a score above τ", ylim=(0, 1.02))
    axes.set_xlim(thresholds[0], thresholds[-1])
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left", frameon=False)
    return write_picture(figure, file)


def costs(file: Path, found: Sequence[Entry]) -> Path:
    """Score against calls, CPU seconds and, if several methods play them, environment steps."""
    shown = {name: text for name, text in COSTS.items() if sum(getattr(entry, name) > 0 for entry in found) > 1}
    figure = new_figure(2.7 * len(shown))
    panels = np.atleast_1d(figure.subplots(len(shown), 1))
    for axes, (name, text) in zip(panels, shown.items(), strict=True):
        some = [entry for entry in found if name != "steps" or entry.steps]
        spent = [getattr(entry, name) for entry in some]
        least = WORST * min(cost for cost in spent if cost > 0)
        middle = np.sqrt(max(*spent, least) * min(max(cost, least) for cost in spent))
        for entry, cost in zip(some, spent, strict=True):
            axes.plot(max(cost, least), max(entry.iqm, LOWEST), "o", color=_colour(entry), markersize=6, alpha=0.8)
        for entry in _front(some, name):
            place = max(getattr(entry, name), least), max(entry.iqm, LOWEST)
            beside = {"ha": "right", "xytext": (-7, -3)} if place[0] > middle else {"ha": "left", "xytext": (7, -3)}
            axes.annotate(entry.algorithm, place, textcoords="offset points", fontsize=9, **beside)
        axes.set(xscale="log", ylabel="score (IQM)")
        axes.set_xlabel(f"{text} (none: leftmost)" if min(spent) == 0 else text)
        axes.margins(x=0.06, y=0.1)
        plain_ticks(axes.xaxis)
        axes.grid(alpha=0.25)
    _legend(panels[0], found)
    return write_picture(figure, file)


def _front(found: Sequence[Entry], name: str) -> list[Entry]:
    """The methods that no cheaper one reaches, at most one of a class, the best."""
    front: list[Entry] = []
    for entry in sorted(found, key=lambda entry: (getattr(entry, name), -entry.iqm)):
        if not front or entry.iqm > front[-1].iqm:
            front.append(entry)
    return list({entry.kind: entry for entry in front}.values())


def _colour(entry: Entry) -> str:
    return COLOURS.get(entry.kind, "black")  # type: ignore[call-overload,no-any-return]


def _legend(axes: Axes, found: Sequence[Entry]) -> None:
    kinds = dict.fromkeys(entry.kind for entry in found)
    for kind in kinds:
        axes.plot([], [], "o", color=COLOURS.get(kind, "black"), label=kind)  # type: ignore[call-overload]
    # Above the axes, because a point may lie anywhere in them.
    axes.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(kinds))
