"""Pictures of schedules, errors, samples and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from art_gym.envs.rendering import BLUE, ORANGE, is_image, limits, log_sigma_axis, pixels, samples_panel

from .style import (
    DPI,
    ERROR_LABEL,
    ORACLE_STYLE,
    THIS_RUN,
    apart,
    label_ends,
    new_figure,
    padded,
    plain_ticks,
    styles_of,
    usable,
    write_picture,
)

TITLE_CHARACTERS, TITLE_LINE = 9, 0.2  # characters that fit an inch of a panel's title, and inches of another line


def schedules(file: str | Path, levels: Mapping[str, np.ndarray], highlight: str | None = None) -> Path:
    """Draw where schedules spend their steps: a row of dots each, and the density of steps below.

    Args:
        file: to write.
        levels: (K+1,) decreasing noise levels with a trailing 0, by name.
        highlight: the name to emphasise.

    Returns:
        The file.

    Raises:
        ValueError: without schedules, or for a highlight that is not among them.
    """
    looks = styles_of(levels, highlight)
    positive = {name: np.asarray(values, np.float64)[:-1] for name, values in levels.items()}
    rows = 0.26 * len(levels) + 0.3  # inches
    figure = new_figure(rows + 3.6)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[rows, 2.5])
    for row, (name, values) in enumerate(positive.items()):
        colour, emphasised = looks[name]["color"], name == highlight
        top.axhline(row, **{**looks[name], "linewidth": 1.2, "alpha": 0.45, "zorder": 0})  # a legend for the density
        top.plot(values, np.full(len(values), row), "o", color=colour, markersize=8 if emphasised else 5.5, mew=0)
        if len(values) > 1:
            below.plot(*_density(values), **looks[name])
    top.set_yticks(range(len(levels)), list(levels))
    for label, name in zip(top.get_yticklabels(), levels, strict=True):
        label.set(color=looks[name]["color"], fontweight="bold" if name == highlight else "normal")
    top.set_ylim(len(levels) - 0.4, -0.6)
    top.tick_params(labelbottom=True, left=False)
    top.set_title("noise levels (every schedule ends with a step to 0)", loc="left")
    below.set(xscale="log", yscale="log", xlabel="noise level σ", ylabel="steps per unit of ln σ")
    below.set_title("density of the steps between them", loc="left")
    below.grid(alpha=0.25)
    low, high = min(map(min, positive.values())), max(map(max, positive.values()))
    below.set_xlim(high * 1.4, low / 1.4)  # sampling runs from left to right
    plain_ticks(below.xaxis)
    plain_ticks(below.yaxis)
    return write_picture(figure, file)


def error_curves(
    file: str | Path,
    errors: Mapping[str, Mapping[int, float]],
    highlight: str | None = None,
    oracle: Mapping[int, float] | None = None,
    y_label: str = ERROR_LABEL,
    x_label: str = "steps K",
) -> Path:
    """Draw error against the number of steps, with the names at the right-hand ends.

    Args:
        file: to write.
        errors: mean endpoint errors (data units) by name and K; values that are not positive and finite are left out.
        highlight: the name to emphasise.
        oracle: errors of the best fixed grids by K, drawn in black.
        y_label, x_label: of the axes, for other errors or steps.

    Returns:
        The file.

    Raises:
        ValueError: without errors, or for a highlight that is not among the names.
    """
    looks = styles_of(errors, highlight)
    curves = {name: usable(curve.items()) for name, curve in errors.items()}
    if oracle:
        curves["oracle"] = usable(oracle.items())
        looks["oracle"] = ORACLE_STYLE
    curves = {name: curve for name, curve in curves.items() if len(curve[0])}
    if not curves:
        raise ValueError(f"no error is positive and finite: {dict(errors)}")
    figure = new_figure(5.5)
    axes = figure.subplots()
    for name, (steps, values) in curves.items():
        alone = {"marker": "D", "markersize": 8, "zorder": 6}  # a single point would be lost under the curves
        marker = alone if len(steps) == 1 else {"marker": "o", "markersize": 7 if name == highlight else 5}
        axes.plot(steps, values, mew=0, **{**looks[name], **marker})
    first = min(steps[0] for steps, _ in curves.values())
    last = max(steps[-1] for steps, _ in curves.values())
    axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label)
    axes.set_xlim(first / 1.07, last * 1.07)
    axes.set_ylim(*padded([error for _, values in curves.values() for error in values]))
    ticks = apart(sorted({int(step) for steps, _ in curves.values() for step in steps}))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    plain_ticks(axes.yaxis)
    axes.grid(alpha=0.25)
    # The name of a curve that stops early says where. No line joins the two: it would cross other curves.
    ends = {name if x[-1] == last else f"{name} (to {x[-1]})": (x[-1], y[-1]) for name, (x, y) in curves.items()}
    label_styles = {label: looks[name] for label, name in zip(ends, curves, strict=True)}
    label_ends(axes, ends, label_styles, joined=[label for label, (step, _) in ends.items() if step == last])
    return write_picture(figure, file)


def samples(file: str | Path, panels: Mapping[str, np.ndarray], data: np.ndarray | None = None) -> Path:
    """Draw samples of the same noises by several methods, in columns.

    Args:
        file: to write.
        panels: (N, *shape) samples by title; the same row of each comes from the same noise. Only the first 16 images
            are shown, at the same places in each panel.
        data: (M, *shape) draws of the data to show behind the samples.

    Returns:
        The file.

    Raises:
        ValueError: without panels.
    """
    if not panels:
        raise ValueError("need at least one panel of samples")
    shape = next(iter(panels.values())).shape[1:]
    bounds = _shared_bounds(panels, data, is_image(shape))
    width = 10 / len(panels)
    titles = [fill(title, int(TITLE_CHARACTERS * width), break_long_words=False) for title in panels]
    above = TITLE_LINE * max(title.count("\n") for title in titles)
    figure = new_figure(min(width + above + (0.15 if is_image(shape) else 0.9), 6.5))
    columns = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, title, points in zip(columns, titles, panels.values(), strict=True):
        samples_panel(axes, shape, bounds, data, "samples")(points)
        axes.set_title(title)
        axes.label_outer()
    tops = [patch.get_data().values.max() for axes in columns for patch in axes.patches]  # of histograms
    if any(tops):  # else the samples are few, and drawn as marks
        for axes in columns:
            axes.set_ylim(0, 1.1 * max(tops))
    if data is not None and not is_image(shape):
        figure.legend(*columns[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return write_picture(figure, file)


def training_curve(
    file: str | Path,
    steps: Sequence[float] | np.ndarray,
    errors: Sequence[float] | np.ndarray,
    references: Mapping[str, float],
    x_label: str = "environment steps",
    y_label: str = f"held-out {ERROR_LABEL}",
    drawstyle: str = "default",
) -> Path:
    """Draw the error during training, with horizontal lines for reference errors.

    Args:
        file: to write.
        steps: (n,) when the errors were measured, rising from 0 or more, in the unit that ``x_label`` names.
        errors: (n,) mean endpoint errors, in data units; those not positive and finite are left out,
            here and among the references.
        references: errors of other schedules by name.
        x_label, y_label: of the axes.
        drawstyle: matplotlib's drawstyle of the line.

    Returns:
        The file.
    """
    figure = new_figure(5)
    axes = figure.subplots()
    steps, errors = usable(zip(steps, errors, strict=True))
    references = {name: value for name, value in references.items() if np.isfinite(value) and value > 0}
    right = 1.02 * (max(steps, default=0) or 1)
    looks = styles_of([*references, THIS_RUN], THIS_RUN)
    for name, value in references.items():
        axes.axhline(value, **looks[name])
    size = 4 if len(steps) > 1 else 8
    axes.plot(steps, errors, marker="o", markersize=size, drawstyle=drawstyle, **looks[THIS_RUN])
    axes.set(yscale="log", xlabel=x_label, ylabel=y_label, xlim=(0, right))
    if right > 1000:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    if references or len(errors):
        axes.set_ylim(*padded([*references.values(), *errors]))
    plain_ticks(axes.yaxis)
    axes.grid(alpha=0.25)
    ends = {name: (right, value) for name, value in references.items()}
    if len(errors):
        ends[THIS_RUN] = (steps[-1], errors[-1])
    label_ends(axes, ends, looks, joined=list(ends))
    return write_picture(figure, file)


def schedule_image(levels: np.ndarray) -> np.ndarray:
    """A small picture of a schedule for TensorBoard: σ on a log axis against the step.

    Args:
        levels: (K+1,) decreasing levels with a trailing 0.

    Returns:
        (300, 400, 3) uint8; ``SummaryWriter.add_image`` takes it with ``dataformats="HWC"``.
    """
    figure = Figure(figsize=(4, 3), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.17, 0.16, 0.8, 0.81))  # fixed: an automatic layout takes as long as drawing
    bottom = log_sigma_axis(axes, levels[-2], levels[0])
    axes.plot(np.maximum(levels, bottom), "o-", color=ORANGE, markersize=5)
    axes.set(xlabel="step", ylabel="noise level σ")
    axes.grid(alpha=0.25)
    return pixels(canvas)


def _density(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle (in log σ) of each interval between K positive levels, and steps per unit of ln σ there: (K−1,) each."""
    return np.sqrt(levels[1:] * levels[:-1]), 1 / np.log(levels[:-1] / levels[1:])


def _shared_bounds(panels: Mapping[str, np.ndarray], data: np.ndarray | None, images: bool) -> tuple[float, float]:
    """Limits for all panels: the data's, or else the last panel's. For points, samples may widen them up to twofold."""
    *_, last = panels.values()
    low, high = limits(last if data is None else data, 1.0)
    if images:
        return low, high
    ranges = [limits(points, 1.0) for points in panels.values()]
    room = (high - low) / 2
    return max(min(low, *(r[0] for r in ranges)), low - room), min(max(high, *(r[1] for r in ranges)), high + room)


def bars(file: str | Path, values: Mapping[str, float], label: str, mark: float = 1.0) -> Path:
    """Draw named numbers as horizontal bars, with a line for comparison.

    Args:
        file: to write.
        values: numbers by name.
        label: of the axis.
        mark: position of the line.

    Returns:
        The file.
    """
    figure = new_figure(0.32 * len(values) + 1.2)
    axes = figure.subplots()
    axes.barh(range(len(values)), list(values.values()), color=BLUE, height=0.7)
    axes.set_yticks(range(len(values)), list(values))
    axes.invert_yaxis()
    axes.axvline(mark, color="black", linewidth=1)
    axes.set_xlabel(label)
    axes.grid(alpha=0.25, axis="x")
    return write_picture(figure, file)
