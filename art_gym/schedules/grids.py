"""Hand-made grids of K steps: K positive levels from σ_max down to a last one, then 0.

A grid is a curve from u ∈ [0, 1] to σ, read off at equal steps of u. With a last positive level given, the K levels run
from σ_max to it and 0 is appended; without one (``last=None``, for curves that reach 0) the K equal steps run to 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from art_gym.denoisers.base import Denoiser

# curve(u, high, low, shape): σ at u, which is `high` at u = 0 and `low` at u = 1
Curve = Callable[[np.ndarray, float, float, float], np.ndarray]


def uniform(u: np.ndarray, high: float, low: float, _: float) -> np.ndarray:
    """Equal steps in σ."""
    return high + u * (low - high)


def edm(u: np.ndarray, high: float, low: float, rho: float) -> np.ndarray:
    """Equal steps in σ^{1/ρ} (Karras et al. 2022, equation 5, where ρ = 7)."""
    return (high ** (1 / rho) + u * (low ** (1 / rho) - high ** (1 / rho))) ** rho


def log_snr(u: np.ndarray, high: float, low: float, _: float) -> np.ndarray:
    """Equal steps in log σ = −½ log SNR: geometric, as DPM-Solver's."""
    return high * (low / high) ** u


def arctan(u: np.ndarray, high: float, low: float, scale: float) -> np.ndarray:
    """Equal steps in arctan(σ/s): the optimum for Euler on N(0, s²)."""
    start, stop = math.atan(high / scale), math.atan(low / scale)
    return scale * np.tan(start + u * (stop - start))


def sigmoid(u: np.ndarray, high: float, low: float, temperature: float) -> np.ndarray:
    """Equal steps in the time of Jabri et al. 2022, where ᾱ falls as a sigmoid over (−3/τ, 3/τ); σ² = (1 − ᾱ)/ᾱ."""
    edge = special.expit(3 / temperature)

    def logit_time(sigma: float) -> float:
        signal = 1 / (1 + sigma**2)  # ᾱ
        return special.logit(edge - signal * (2 * edge - 1))

    time = logit_time(high) + u * (logit_time(low) - logit_time(high))
    noise = 1 - (edge - special.expit(time)) / (2 * edge - 1)  # 1 − ᾱ
    return np.sqrt(np.maximum(noise, 0) / (1 - noise))


def beta(u: np.ndarray, high: float, low: float, concentration: float) -> np.ndarray:
    """Levels of log σ at equal quantiles of Beta(α, α), dense at both ends for α < 1 (Lee et al. 2024: α = 0.6)."""
    return log_snr(special.betaincinv(concentration, concentration, u), high, low, 0)


def linear_quadratic(u: np.ndarray, high: float, low: float, threshold: float) -> np.ndarray:
    """Flow time 1 − s, s = σ/(1 + σ), linear to a threshold for half of the steps, then quadratic (Movie Gen 2024)."""
    start, stop = 1 / (1 + high), 1 / (1 + low)  # flow times 1 − s
    slope = 2 * threshold  # of the linear half, which the quadratic half takes over
    rest = np.maximum(u - 0.5, 0)
    curve = slope * u + 4 * (1 - 2 * threshold) * rest**2  # 0 … 1
    time = start + (stop - start) * curve
    return (1 - time) / time


def laplace(u: np.ndarray, high: float, low: float, scale: float) -> np.ndarray:
    """Equal quantiles of log SNR under a Laplace distribution of mean 0 and scale b (Hang et al. 2024: b = 0.5)."""

    def tail(sigma: float) -> float:  # signed log-probability of the nearer tail: −log 1 at the mean
        return 2 * math.log(sigma) / scale

    def cumulative(z: float) -> float:
        return 0.5 * math.exp(z) if z < 0 else 1 - 0.5 * math.exp(-z)

    p = cumulative(tail(high)) + u * (cumulative(tail(low)) - cumulative(tail(high)))
    # In float64 the upper tail rounds to 1 when scale is small: the ends are set exactly by `Grid.levels`.
    p = np.clip(p, 1e-300, 1 - 1e-16)
    return np.exp(np.where(p < 0.5, np.log(2 * p), -np.log(2 * (1 - p))) * scale / 2)


@dataclass(frozen=True)
class Grid:
    """A family of hand-made grids with two parameters, of which either may be absent.

    Attributes:
        name: key in `GRIDS`.
        curve: the map from u to σ.
        shape: published value of the shape parameter; None where there is none; "data_std" for the data's own.
        reaches_zero: whether the published grid takes its K equal steps to 0 and so has no last level of its own.
    """

    name: str
    curve: Curve
    shape: float | str | None
    reaches_zero: bool

    def published(self, denoiser: Denoiser) -> tuple[float | None, float | None]:
        """The parameters (last, shape) as published, for this denoiser's noise range and data."""
        shape = denoiser.data_std if isinstance(self.shape, str) else self.shape
        return (None if self.reaches_zero else denoiser.sigma_min), shape

    def levels(self, num_steps: int, sigma_max: float, last: float | None, shape: float | None) -> np.ndarray:
        """The (K+1,) levels. ``last`` is the last positive one, or None to take K equal steps to 0."""
        if num_steps == 1:
            return np.array([sigma_max, 0.0])
        stop = 0.0 if last is None else last
        count = num_steps + 1 if last is None else num_steps
        values = self.curve(np.linspace(0, 1, count), sigma_max, stop, 0.0 if shape is None else shape)
        levels = np.concatenate([values[:num_steps], [0.0]])
        levels[0] = sigma_max
        if last is not None:
            levels[num_steps - 1] = last
        return levels


def log_normal(num_steps: int, sigma_max: float, mean: float, std: float) -> np.ndarray:
    """Levels after σ_max at equal quantiles of a normal in log σ (EDM trains with mean −1.2, std 1.2)."""
    quantiles = special.ndtri(1 - np.arange(1, num_steps) / num_steps)  # (K−1,), falling
    inner = np.exp(mean + std * quantiles)
    return np.concatenate([[sigma_max], inner, [0.0]])


@dataclass(frozen=True)
class LogNormalGrid:
    """The log-normal family; its two parameters are exp(mean) and std instead of last level and shape."""

    name: str = "log_normal"

    def published(self, denoiser: Denoiser) -> tuple[float, float]:
        """The distribution of σ that EDM trains with (Karras et al. 2022, table 1)."""
        return math.exp(-1.2), 1.2

    def levels(self, num_steps: int, sigma_max: float, centre: float, std: float) -> np.ndarray:
        """The (K+1,) levels; quantiles above σ_max are pressed below it, so that the grid decreases."""
        levels = log_normal(num_steps, sigma_max, math.log(centre), std)
        ceiling = sigma_max * 0.999 ** np.arange(num_steps)
        levels[:num_steps] = np.minimum(levels[:num_steps], ceiling)
        return levels


GRIDS: dict[str, Grid | LogNormalGrid] = {
    grid.name: grid
    for grid in (
        Grid("uniform", uniform, shape=None, reaches_zero=True),
        Grid("edm", edm, shape=7.0, reaches_zero=False),
        Grid("log_snr", log_snr, shape=None, reaches_zero=False),
        # ᾱ = cos²(π/2 · t) is σ = tan(π/2 · t): equal steps in arctan σ (iDDPM, Nichol & Dhariwal 2021)
        Grid("cosine", arctan, shape=1.0, reaches_zero=True),
        Grid("quadratic", edm, shape=2.0, reaches_zero=True),  # DDIM's spacing (Song et al. 2021)
        Grid("sigmoid", sigmoid, shape=1.0, reaches_zero=True),
        Grid("arctan", arctan, shape="data_std", reaches_zero=True),
        Grid("beta", beta, shape=0.6, reaches_zero=False),
        Grid("linear_quadratic", linear_quadratic, shape=0.025, reaches_zero=True),
        Grid("laplace", laplace, shape=0.5, reaches_zero=False),
        LogNormalGrid(),
    )
}


def get_grid(name: str) -> Grid | LogNormalGrid:
    """The family of that name. Raises a ValueError that lists the names."""
    if name not in GRIDS:
        raise ValueError(f"unknown grid {name!r}: choose one of {', '.join(GRIDS)}")
    return GRIDS[name]


def make_grid(name: str, num_steps: int, denoiser: Denoiser, *parameters: float | None) -> np.ndarray:
    """The (K+1,) levels of a named grid over the denoiser's noise range.

    With very many steps a published curve to 0 would come below σ_min: its levels there are raised to just above it.

    Args:
        name: a key of `GRIDS`.
        num_steps: K.
        denoiser: gives σ_max, σ_min and the data's standard deviation.
        parameters: the two parameters of the family, None as published; both as published when left out. A last level
            of one's own may be below σ_min.

    Raises:
        ValueError: for an unknown name, a K that is no whole number of at least 1, or levels that do not fall from
            σ_max to 0 with these parameters.
    """
    grid = get_grid(name)
    if not isinstance(num_steps, int | np.integer) or isinstance(num_steps, bool) or num_steps < 1:
        raise ValueError(f"num_steps of a grid must be a whole number of at least 1, got {num_steps!r}")
    if isinstance(denoiser, str):
        raise ValueError(f"a grid needs the denoiser itself, got {denoiser!r}: art_gym.get_task({denoiser!r}) has it")
    if len(parameters) not in (0, 2):
        raise ValueError(f"a grid has two parameters, of which None is as published, got {parameters}")
    published = grid.published(denoiser)
    first, second = (
        own if given is None else given for given, own in zip(parameters or published, published, strict=True)
    )
    try:
        levels = grid.levels(num_steps, denoiser.sigma_max, first, second)  # type: ignore[arg-type]
    except (ArithmeticError, ValueError) as error:  # of a logarithm or a quotient
        raise ValueError(f"grid {name!r} cannot have the parameters {(first, second)}: {error}") from None
    if not (np.isfinite(levels).all() and (np.diff(levels) < 0).all()):
        raise ValueError(f"grid {name!r} with parameters {(first, second)} does not decrease: {levels}")
    if not parameters and levels[-2] < denoiser.sigma_min * (1 - 1e-9):
        levels[:-1] = np.maximum(levels[:-1], denoiser.sigma_min * np.linspace(1.001, 1, num_steps))
    return levels


def edm_grid(num_steps: int, denoiser: Denoiser) -> np.ndarray:
    """The reference of all scores: the grid of EDM's own sampler, ρ = 7 to σ_min, then 0."""
    return make_grid("edm", num_steps, denoiser)
