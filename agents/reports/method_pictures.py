"""Pictures that compare many methods: their errors on several tasks, and samples of the same noises."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from art_gym.denoisers.base import Array
from art_gym.envs.rendering import GREY, ORANGE
from art_gym.measures.errors import endpoint_error

from .style import PALETTE, new_figure, padded, write_picture

COLUMNS = 3  # of panels
ROW, AROUND = 0.2, 1.0  # inches for a method, and around the methods of a panel
WIDE = 100  # range of errors from which on only powers of ten are labelled
SHADES = (0.35, 0.65, 1.0)  # opacity, from few steps to many
IMAGE_ROW = 0.72  # inches

Errors = Mapping[str, Mapping[str, Mapping[int, float]]]  # by task, method and K


def method_errors(
    file: str | Path, errors: Errors, highlight: Collection[str] = (), compare: str | None = None
) -> Path:
    """Draw the errors of all methods as dots on a log axis, with a panel for each task.

    Args:
        file: to write.
        errors: mean endpoint errors by task, method and K.
        highlight: methods in orange.
        compare: a method whose errors are vertical lines.

    Returns:
        The file.
    """
    names = list(dict.fromkeys(name for of in errors.values() for name in of))
    steps = sorted({k for of in errors.values() for curve in of.values() for k in curve})
    columns = min(COLUMNS, len(errors))
    rows = -(-len(errors) // columns)
    figure = new_figure(rows * (ROW * len(names) + AROUND))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, (task, of) in zip(panels.flat, errors.items(), strict=False):
        _dots(axes, names, of, steps, highlight)
        for shade, k in zip(SHADES[-len(steps) :], steps, strict=True):
            if k in of.get(compare or "", {}):
                axes.axvline(of[compare or ""][k], color=PALETTE[0], alpha=shade, linewidth=1, zorder=0)
        axes.set_title(task, fontweight="bold")
    for axes in panels.flat[len(errors) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(names)), names, fontsize=9)
        for label, name in zip(axes.get_yticklabels(), names, strict=True):
            label.set_color(ORANGE if name in highlight else "black")
        axes.set_ylim(len(names) - 0.4, -0.6)
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(steps), frameon=False
    )
    figure.supxlabel("mean endpoint error (data units)")
    return write_picture(figure, file)


def _dots(
    axes: Axes, names: list[str], of: Mapping[str, Mapping[int, float]], steps: list[int], highlight: Collection[str]
) -> None:
    axes.set_xscale("log")
    for shade, k in zip(SHADES[-len(steps) :], steps, strict=True):
        places = [(row, of[name][k]) for row, name in enumerate(names) if k in of.get(name, {})]
        colours = [ORANGE if names[row] in highlight else PALETTE[0] for row, _ in places]
        axes.scatter([error for _, error in places], [row for row, _ in places], c=colours, alpha=shade, s=34, lw=0)
        axes.scatter([], [], c=GREY, alpha=shade, s=34, lw=0, label=f"K = {k}")
    low, high = padded([error for curve in of.values() for error in curve.values()])
    axes.set_xlim(low, high)
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    candidates = np.outer(decades, [1] if high / low > WIDE else [1, 3]).ravel()
    ticks = [tick for tick in candidates if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:.4g}" for tick in ticks], fontsize=9)
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.25, axis="y")
    axes.set_axisbelow(True)


def image_rows(file: str | Path, blocks: Mapping[str, Mapping[str, Array]]) -> Path:
    """Draw samples of the same noises, with a row for each method.

    Args:
        file: to write.
        blocks: (N, *shape) images by title and method. Titles are side by side, with the methods of the first. The
            last one is exact, and the errors are against it.

    Returns:
        The file.
    """
    names = list(next(iter(blocks.values())))
    figure = new_figure(IMAGE_ROW * len(names) + 0.4)
    panels = figure.subplots(len(names), len(blocks), squeeze=False)
    exact = np.asarray(next(iter(blocks.values()))[names[-1]])
    low, high = float(exact.min()), float(exact.max())
    for column, (title, of) in zip(panels.T, blocks.items(), strict=True):
        column[0].set_title(title, fontweight="bold")
        for axes, name in zip(column, names, strict=True):
            axes.imshow(_strip(np.asarray(of[name])), cmap="gray", vmin=low, vmax=high, aspect="equal")
            if name != names[-1]:
                error = endpoint_error(np.asarray(of[name]), np.asarray(of[names[-1]])).mean()
                axes.set_xlabel(f"error {error:.2g}", fontsize=8, labelpad=1)
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
    for axes, name in zip(panels[:, 0], names, strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    return write_picture(figure, file)


def _strip(images: np.ndarray) -> np.ndarray:
    """Images side by side with a column of space between them."""
    square = images.reshape(len(images), *images.shape[-2:])
    spaced = np.pad(square, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
    strip: np.ndarray = np.concatenate(list(spaced), axis=1)[:, :-1]
    return strip
