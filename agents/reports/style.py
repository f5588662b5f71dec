"""The style of pictures: colours, labels and ticks, and writing them to files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from art_gym.common.files import replacing
from art_gym.envs.rendering import BLUE, ORANGE

# Mostly the colours of Okabe & Ito. Orange is only for the highlighted line. Each round of colours has other dashes.
PALETTE = (BLUE, "#009E73", "#CC79A7", "#56B4E9", "#B8860B", "#5B3A8C", "#6E6E6E")
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))
# These names have the same style in every picture, in the order of the palette. Others take the next free style.
KNOWN = (
    "uniform",
    "EDM ρ=7",
    "log-SNR",
    "cosine",
    "arctan",
    "ART closed form",
    "EDM, tuned",
    "log-normal, tuned",
    "cma",
    "gradient",
    "defect",
)
Style = dict[str, Any]  # keyword arguments of matplotlib's lines
ORACLE = "oracle"  # the best fixed grid, or the best sampler; the text in brackets that follows says so
ORACLE_STYLE: Style = {"color": "black", "linewidth": 1.6, "linestyle": (0, (5, 2)), "zorder": 4}
SAMPLER_ORACLE_STYLE: Style = {**ORACLE_STYLE, "linestyle": (0, (1, 1.5))}

THIS_RUN = "this run"
ERROR_LABEL = "mean endpoint error (data units)"
DPI = 100
FONT_SIZE = 11


def usable(points: Iterable[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Steps and errors in order, without errors that a log axis cannot show."""
    kept = sorted((step, error) for step, error in points if np.isfinite(error) and error > 0)
    return np.array([step for step, _ in kept]), np.array([error for _, error in kept])


def styles_of(names: Iterable[str], highlight: str | None) -> dict[str, Style]:
    """Line style of each name: thick orange for the highlighted one, black for the oracle, the palette for others."""
    names = list(names)
    if not names:
        raise ValueError("nothing to draw")
    if highlight is not None and highlight not in names:
        raise ValueError(f"cannot highlight {highlight!r}: it is none of {', '.join(names)}")
    oracles = [name for name in names if name.partition(" (")[0] == ORACLE]
    others = [name for name in names if name != highlight and name not in oracles]
    places = {name: KNOWN.index(name) for name in others if name in KNOWN}
    left = (place for place in itertools.count() if place not in places.values())
    styles = {name: {**(SAMPLER_ORACLE_STYLE if "sampler" in name else ORACLE_STYLE)} for name in oracles}
    for name in others:
        place = places[name] if name in places else next(left)
        dashes = DASHES[place // len(PALETTE) % len(DASHES)]
        styles[name] = {"color": PALETTE[place % len(PALETTE)], "linestyle": dashes, "linewidth": 1.4}
    if highlight is not None:
        styles[highlight] = {"color": ORANGE, "linewidth": 3, "zorder": 5}
    return styles


def label_ends(
    axes: Axes, ends: Mapping[str, tuple[float, float]], styles: Mapping[str, Style], joined: Sequence[str]
) -> None:
    """Write each name right of the axes, as near as possible to the end of its curve; thin lines join some to it."""
    names = sorted(ends, key=lambda name: ends[name][1])
    to_axes = axes.transScale + axes.transLimits
    points = {name: to_axes.transform(ends[name]) for name in names}
    _, height = axes.figure.get_size_inches()  # type: ignore[union-attr]
    gap = 1.35 * FONT_SIZE / 72 / (0.82 * height)  # a line of text as a share of the axes' height
    heights = spread(np.array([points[name][1] for name in names]), gap)
    for name, y in zip(names, heights, strict=True):
        colour = styles[name]["color"]
        thin = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "alpha": 0.7, "relpos": (0, 0.5)}
        axes.annotate(
            name,
            xy=tuple(points[name]),
            xycoords="axes fraction",
            xytext=(1.05, y),
            textcoords="axes fraction",
            color=colour,
            fontweight="bold" if colour == ORANGE else "normal",
            va="center",
            arrowprops={**thin, "shrinkA": 1, "shrinkB": 0} if name in joined else None,
            annotation_clip=False,
        )


def spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """Move rising heights as little as possible until neighbours are at least a gap apart, within 0 … 1 if they fit."""
    if len(heights) == 0:
        return heights
    offsets = gap * np.arange(len(heights))
    # Least squares under y_{i+1} − y_i ≥ gap: pool neighbours that collide (isotonic regression of heights − offsets).
    blocks: list[tuple[float, int]] = []
    for value in heights - offsets:
        total, count = float(value), 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            earlier, size = blocks.pop()
            total, count = total + earlier, count + size
        blocks.append((total, count))
    pooled = np.concatenate([np.full(count, total / count) for total, count in blocks])
    placed: np.ndarray = np.clip(pooled, 0, max(1 - offsets[-1], 0)) + offsets
    return placed


def padded(values: Sequence[float]) -> tuple[float, float]:
    """Limits of a log axis around values."""
    return min(values) / 1.3, max(values) * 1.3


def apart(ticks: Sequence[int]) -> list[int]:
    """Keep those rising ticks that have room for their labels on a log axis."""
    kept = list(ticks[:1])
    for tick in ticks[1:]:
        if np.log(tick / kept[-1]) > 0.035 * np.log(ticks[-1] / ticks[0]):
            kept.append(tick)
    return kept


def plain_ticks(axis: Axis) -> None:
    """Ticks in plain numbers on a log axis: powers of ten, 1-2-5, or equal steps, depending on the visible range."""
    low, high = sorted(axis.get_view_interval())
    if high / low < 10:
        candidates = np.asarray(MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high))
    else:
        decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        candidates = np.outer(decades, [1] if high / low > 1000 else [1, 2, 5]).ravel()
    ticks = [tick for tick in candidates if low <= tick <= high]
    axis.set_ticks(ticks, labels=[f"{tick:.4g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def new_figure(height: float) -> Figure:
    """A figure 1000 pixels wide and ``height`` inches high, with a layout that leaves room for labels."""
    figure = Figure(figsize=(10, height), dpi=DPI)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    FigureCanvasAgg(figure)
    return figure


def write_picture(figure: Figure, file: str | Path) -> Path:
    """Write a PNG file under a temporary name and rename it, so that a reader never sees half a file."""
    target = Path(file)
    with replacing(target) as temporary:
        figure.savefig(temporary, format="png")
    return target
