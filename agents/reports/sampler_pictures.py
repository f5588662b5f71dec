"""The picture of a sampler: the size, the weights and the told level of each step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from art_gym.envs.rendering import BLUE, GREY, ORANGE, log_sigma_axis
from art_gym.samplers.sampler import Sampler

from .style import PALETTE, Style, new_figure, plain_ticks, write_picture

USUAL = "DPM-Solver++(2M) on the same levels"
USUAL_LINE: Style = {"color": "black", "linewidth": 2.5}
FEW = 14  # steps that have room for their numbers
LABELLED = 20  # steps that have room for their tick labels
WIDTH = 0.72  # of a step's bars together
COLUMNS = 3  # of the legend
WEIGHT_COLOURS = (ORANGE, "#E69F00", "#F0D58A", *PALETTE)  # paler the further back, where there are few


def sampler_picture(file: str | Path, sampler: Sampler, name: str) -> Path:
    """Draw each step's noise levels, weights and told level, beside those of DPM-Solver++(2M) on the same levels.

    Args:
        file: to write.
        sampler: what to draw.
        name: for the title.

    Returns:
        The file.
    """
    figure = new_figure(8.5)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=[1, 1.3, 1])
    for axes, draw in zip(panels, (_draw_levels, _draw_weights, _draw_told), strict=True):
        draw(axes, sampler, np.arange(sampler.num_steps))
        axes.grid(alpha=0.25, axis="y")
        axes.set_axisbelow(True)
    every = 1 + (sampler.num_steps - 1) // LABELLED
    panels[-1].set_xticks(range(0, sampler.num_steps, every))
    panels[-1].set(xlabel="step k", xlim=(-0.6, sampler.num_steps - 0.4))
    figure.suptitle(f"{name} (K = {sampler.num_steps})", fontweight="bold")
    return write_picture(figure, file)


def _draw_levels(axes: Axes, sampler: Sampler, steps: np.ndarray) -> None:
    """A bar for each step, from its level down to the next one."""
    levels = np.array(sampler.sigmas)
    bottom = log_sigma_axis(axes, levels[-2], levels[0])
    ends = np.append(levels[1:-1], bottom)
    axes.bar(steps, levels[:-1] - ends, bottom=ends, width=WIDTH, color=BLUE, alpha=0.35)
    axes.hlines(levels[:-1], steps - WIDTH / 2, steps + WIDTH / 2, color=BLUE, linewidth=2.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.08)  # room for the first number
    axes.set_title("noise level σ: where each step starts, and how far down it goes", loc="left")
    _write(axes, steps, levels[:-1], levels[:-1] > 0, BLUE)


def _draw_weights(axes: Axes, sampler: Sampler, steps: np.ndarray) -> None:
    """Bars for the weights of each step, and lines for those of 2M."""
    weights = sampler.coefficients().weights
    usual = Sampler.of(np.array(sampler.sigmas), "dpmpp_2m").coefficients().weights[:, 0]
    width = WIDTH / weights.shape[1]
    for i, values in enumerate(weights.T):
        left, has = steps - WIDTH / 2 + i * width, steps > i  # the first steps have fewer estimates
        name = "the latest change, $D_k - D_{k-1}$" if i == 0 else f"$D_{{k-{i}}} - D_{{k-{i + 1}}}$"
        colour = WEIGHT_COLOURS[i]
        axes.bar(left[has], values[has], width=width, align="edge", color=colour, label=name)
        if i == 0:
            axes.hlines(usual[has], left[has], left[has] + width, label=USUAL, **USUAL_LINE)
    axes.axhline(0, color="black", linewidth=0.8)
    low, high = min(weights.min(), 0), max(weights.max(), usual.max(), 0)
    room = 0.05 * (high - low) + 0.02
    rows = -(-(1 + weights.shape[1]) // COLUMNS)
    axes.set_ylim(low - room, high + room * (3 + 4 * rows))  # the legend is above the bars
    axes.set_title("weights of the changes between denoised estimates D", loc="left")
    axes.legend(loc="upper left", ncols=COLUMNS, edgecolor="none", framealpha=1)


def _draw_told(axes: Axes, sampler: Sampler, steps: np.ndarray) -> None:
    """The factor c of each step as a bar from 1, which is 2M's."""
    told = np.array(sampler.told)
    axes.set_yscale("log")
    axes.bar(steps, told - 1, bottom=1, width=WIDTH, color=GREY)
    axes.axhline(1, **USUAL_LINE)
    low, high = min(told.min(), 0.8), max(told.max(), 1.25)
    room = (high / low) ** 0.2
    axes.set_ylim(low / room, high * room)
    plain_ticks(axes.yaxis)
    axes.set_title("level that the model is told, as a multiple of σ", loc="left")
    _write(axes, steps, told, told >= 1, "black")


def _write(axes: Axes, steps: np.ndarray, values: np.ndarray, above: np.ndarray, colour: str) -> None:
    """Write the values above or below the ends of their bars, if there is room."""
    if len(steps) > FEW:
        return
    for step, value, up in zip(steps, values, above, strict=True):
        look: Style = {"ha": "center", "va": "bottom" if up else "top", "color": colour, "fontsize": 9}
        axes.annotate(f"{value:.3g}", (step, value), (0, 3 if up else -3), textcoords="offset points", **look)
