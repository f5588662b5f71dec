"""Pictures of an episode: the samples on the left, the grid so far and EDM's grid on the right."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from art_gym.denoisers.base import Denoiser, visible
from art_gym.envs.core import Core
from art_gym.envs.state import State
from art_gym.schedules.grids.base import edm_grid

# Okabe & Ito's colours, which colour-blind people can tell apart. Grey is for the background.
ORANGE, BLUE, GREY = "#D55E00", "#0072B2", "#9A9A9A"
FRAME_SECONDS = 0.25  # how long a window shows a frame: the environments have Gymnasium's render_fps of 4
MAX_IMAGES = 16
LARGE, FEW_LARGE = 64, 4  # images with more than 64 pixels a side would become too small, so only 4 are shown
DATA_COUNT = 2000  # data draws behind the samples
BINS = 60
FEW = 8  # up to this number, each sample has its own mark
ESTIMATES = "estimated samples"

Update = Callable[[np.ndarray], None]


class Viewer:
    """Draws states of one environment. All frames use the same figure.

    Args:
        core: gives the noise range, the data and the longest budget.
        show: open a window and show every frame in it. Without a display nothing is shown (see `Window`).
    """

    def __init__(self, core: Core, show: bool) -> None:
        self._window = Window() if show else None
        self._figure = Figure(figsize=(9, 4), dpi=100)
        self._canvas = FigureCanvasAgg(self._figure)
        left, right = self._figure.subplots(1, 2)
        self._figure.subplots_adjust(left=0.075, right=0.98, bottom=0.13, top=0.83, wspace=0.2)
        denoiser = core.problem.denoiser
        data = draw_data(denoiser)
        self._denoiser = denoiser
        shape = visible(np.empty((1, *denoiser.shape)), denoiser).shape[1:]
        self._draw_samples = samples_panel(left, shape, limits(data, denoiser.data_std), data, ESTIMATES)
        if is_image(shape):
            left.set_title(ESTIMATES, fontsize=10)
        else:
            _legend_above(left)
        self._draw_grid = _grid_panel(right, denoiser)
        self._title = self._figure.suptitle("")

    def draw(self, state: State) -> np.ndarray:
        """The picture of a state with E = 1: (H, W, 3) uint8."""
        sigma, step, budget = float(state.sigma[0]), int(state.step[0]), int(state.num_steps[0])
        positive = state.grid[0][: min(step + 1, budget)]
        self._draw_samples(visible(state.denoised[0], self._denoiser))
        self._draw_grid(np.append(positive, 0.0) if sigma == 0 else positive, budget)
        self._title.set_text(f"step {step} of {budget},  noise level σ = {sigma:.3g}")
        frame = pixels(self._canvas)
        if self._window is not None:
            self._window.show(frame)
        return frame

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()


class Window:
    """A matplotlib window that shows frames. If you close it, it stays closed.

    If matplotlib finds no display, it shows nothing and a line on stderr says so. A checker that tries all render
    modes, or a training in this mode, can then go on. MPLBACKEND=Agg asks for this, so there is no such line.
    """

    def __init__(self) -> None:
        import matplotlib.pyplot as plt  # global state, so import it only for windows

        figure = plt.figure(figsize=(9, 4))
        self._interactive = figure.canvas.required_interactive_framework is not None
        if not self._interactive and "MPLBACKEND" not in os.environ:
            logging.getLogger(__name__).warning(
                "render_mode='human' needs a display, and matplotlib found none: nothing is shown. Use "
                "render_mode='rgb_array' on a machine without one (or name a backend in MPLBACKEND)"
            )
        self._plt, self._figure = plt, figure
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        self._image = axes.imshow(np.full((1, 1, 3), 255, np.uint8), extent=(0, 9, 0, 4))

    def show(self, frame: np.ndarray) -> None:
        """Show an (H, W, 3) uint8 frame and hold it for `FRAME_SECONDS`."""
        if not self._plt.fignum_exists(self._figure.number):
            return
        self._image.set_data(frame)
        if self._interactive:
            self._plt.figure(self._figure.number)  # pause() updates the current figure
            self._plt.pause(FRAME_SECONDS)

    def close(self) -> None:
        """Close the window."""
        self._plt.close(self._figure)


def pixels(canvas: FigureCanvasAgg) -> np.ndarray:
    """Draw a canvas and return a copy, (H, W, 3) uint8."""
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def draw_data(denoiser: Denoiser, count: int = DATA_COUNT) -> np.ndarray | None:
    """(count, *shape) draws of the data, always the same; None for a denoiser without data."""
    sample_data = getattr(denoiser, "sample_data", None)
    return None if sample_data is None else sample_data(count, np.random.default_rng(0))


def samples_panel(
    axes: Axes, shape: tuple[int, ...], bounds: tuple[float, float], data: np.ndarray | None, label: str
) -> Update:
    """Prepare axes for samples of a shape: images, a histogram in one dimension, or a scatter of two coordinates.

    Args:
        axes: to draw on.
        shape: of one sample.
        bounds: lowest and highest value shown, in the units of the data.
        data: (M, *shape) draws of the data to show behind the samples, or None.
        label: name of the samples in a legend.

    Returns:
        A function that replaces the shown samples by (N, *shape) new ones.
    """
    if is_image(shape):
        return _image_panel(axes, *bounds)
    flat = None if data is None else data.reshape(len(data), -1)
    panel = _histogram_panel if np.prod(shape) == 1 else _scatter_panel
    return panel(axes, flat, bounds, label)


def limits(data: np.ndarray | None, data_std: float) -> tuple[float, float]:
    """A range of values that holds nearly all of the data: (low, high)."""
    if data is None:
        return -3 * data_std, 3 * data_std
    low, high = np.quantile(data, [0.002, 0.998])
    margin = 0.1 * (high - low)
    return float(low - margin), float(high + margin)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether samples of this shape are shown as images: (H, W) or (C, H, W) with sides of four or more."""
    return len(shape) in (2, 3) and min(shape[-2:]) >= 4


def mosaic(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Put up to `MAX_IMAGES` images side by side, or up to `FEW_LARGE` large ones.

    Args:
        images: (N, H, W) or (N, C, H, W). With three or more channels, the first three are red, green and blue.
            Otherwise the first one is grey.
        low: the value shown as black.
        high: the value shown as white.

    Returns:
        (rows·(H+g)−g, columns·(W+g)−g, 3) float in [0, 1]. White gaps of g pixels, a sixteenth of the width, separate
        the images.
    """
    shown = images[: MAX_IMAGES if max(images.shape[-2:]) <= LARGE else FEW_LARGE]
    channels = shown[:, None] if shown.ndim == 3 else shown
    colours = channels[:, :3] if channels.shape[1] >= 3 else np.repeat(channels[:, :1], 3, axis=1)
    tiles = np.clip((colours.transpose(0, 2, 3, 1) - low) / (high - low), 0, 1)  # (N, H, W, 3)
    count, height, width, _ = tiles.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    gap = max(width // 16, 1)
    board = np.ones((rows * columns, height + gap, width + gap, 3))
    board[:count, :height, :width] = tiles
    board = board.reshape(rows, columns, height + gap, width + gap, 3).swapaxes(1, 2)
    return board.reshape(rows * (height + gap), columns * (width + gap), 3)[:-gap, :-gap]


def _image_panel(axes: Axes, low: float, high: float) -> Update:
    axes.set_axis_off()
    image = axes.imshow(np.ones((1, 1, 3)), extent=(0, 1, 0, 1), interpolation="antialiased")  # small ones stay sharp

    def update(samples: np.ndarray) -> None:
        board = mosaic(samples, low, high)
        image.set_data(board)
        image.set_extent((0, board.shape[1], 0, board.shape[0]))

    return update


def _histogram_panel(axes: Axes, data: np.ndarray | None, bounds: tuple[float, float], label: str) -> Update:
    edges = np.linspace(*bounds, BINS + 1)
    width = edges[1] - edges[0]
    # Without data the scale is that of a normal density over the range, which is six standard deviations wide.
    top = 2.4 / (bounds[1] - bounds[0])
    if data is not None:
        density = np.histogram(data[:, 0], edges)[0] / (len(data) * width)
        axes.stairs(density, edges, fill=True, color=GREY, alpha=0.4, label="data")
        top = float(density.max())
    bars = axes.stairs(np.zeros(BINS), edges, color=BLUE, linewidth=1.5, label=label)
    (marks,) = axes.plot([], [], "v", color=BLUE, markersize=9, alpha=0.8, mew=0, transform=axes.get_xaxis_transform())
    axes.set(xlim=bounds, ylim=(0, 1.8 * top), xlabel="value", ylabel="density")

    def update(samples: np.ndarray) -> None:
        values = samples.reshape(-1)
        if len(values) <= FEW:
            marks.set_data(values, np.full(len(values), 0.03))
        else:
            bars.set_data(np.histogram(values, edges)[0] / (len(values) * width))

    return update


def _scatter_panel(axes: Axes, data: np.ndarray | None, bounds: tuple[float, float], label: str) -> Update:
    if data is not None:
        axes.plot(*data[:, :2].T, ".", color=GREY, markersize=2, alpha=0.4, label="data", rasterized=True)
    (dots,) = axes.plot([], [], "o", color=BLUE, markersize=3.5, alpha=0.8, mew=0, label=label)
    axes.set(xlim=bounds, ylim=bounds, aspect="equal", xlabel="first coordinate", ylabel="second coordinate")

    def update(samples: np.ndarray) -> None:
        dots.set_data(*samples.reshape(len(samples), -1)[:, :2].T)
        dots.set_markersize(3.5 if len(samples) > FEW else 8)

    return update


def _grid_panel(axes: Axes, denoiser: Denoiser) -> Callable[[np.ndarray, int], None]:
    bottom = log_sigma_axis(axes, denoiser.sigma_min, denoiser.sigma_max)
    (reference,) = axes.plot([], [], "o-", color=GREY, markersize=4, linewidth=1, alpha=0.7, label="EDM's grid (ρ = 7)")
    (line,) = axes.plot([], [], "o-", color=ORANGE, markersize=5, linewidth=1.8, label="this episode")
    axes.set(xlabel="step", ylabel="noise level σ")
    axes.grid(alpha=0.25)
    _legend_above(axes)

    def update(levels: np.ndarray, budget: int) -> None:
        edm = edm_grid(budget, denoiser)
        reference.set_data(np.arange(budget + 1), np.maximum(edm, bottom))
        line.set_data(np.arange(len(levels)), np.maximum(levels, bottom))
        axes.set_xlim(-0.3, budget + 0.3)
        axes.set_xticks(np.arange(0, budget + 1, -(-budget // 10)))

    return update


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=9, borderaxespad=0.2)


def log_sigma_axis(axes: Axes, sigma_min: float, sigma_max: float) -> float:
    """Make y a log axis of σ with a tick for 0 at the bottom, and return the position of that tick."""
    bottom = sigma_min / 6
    decades = 10.0 ** np.arange(np.ceil(np.log10(sigma_min)), np.floor(np.log10(sigma_max)) + 1)
    axes.set_yscale("log")
    axes.set_ylim(bottom / 1.5, sigma_max * 2)
    axes.set_yticks([bottom, *decades], ["0", *(f"{level:g}" for level in decades)])
    axes.set_yticks([], minor=True)
    return bottom
