"""The exact denoiser of a mixture of few isotropic Gaussians, each with its own width."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from array_api_compat import array_namespace

from art_gym.denoisers.base import SIGMA_MAX, SIGMA_MIN, Array
from art_gym.denoisers.checks import check_denoiser
from art_gym.denoisers.constants import Constants


class GaussianMixture:
    """The mixture Σ_m w_m N(c_m, s_m² I), which is known in closed form.

    With v_m = s_m² + σ², the posterior of the component is r_m ∝ w_m v_m^{-d/2} exp(−‖x − c_m‖²/2v_m), and
    D(x, σ) = Σ_m r_m (s_m² x + σ² c_m) / v_m.

    Args:
        means: (M, d) centres.
        stds: (M,) widths, or one number for all.
        weights: (M,) positive weights, normalised here. By default all are equal.

    Raises:
        ValueError: for shapes that do not fit, or widths or weights that are not positive.
    """

    def __init__(
        self,
        means: np.ndarray,
        stds: np.ndarray | float,
        weights: np.ndarray | None = None,
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
    ) -> None:
        means = np.atleast_2d(np.asarray(means, np.float64))  # (M, d)
        count, self.dimension = means.shape
        stds = np.broadcast_to(np.asarray(stds, np.float64), (count,))  # (M,)
        weights = np.ones(count) if weights is None else np.asarray(weights, np.float64)
        if weights.shape != (count,) or (weights <= 0).any() or (stds <= 0).any():
            raise ValueError(f"need {count} positive weights and widths, got weights {weights} and widths {stds}")
        weights = weights / weights.sum()
        self.means, self.stds, self.weights = means, stds, weights
        self.shape: tuple[int, ...] = (self.dimension,)
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        centre = weights @ means
        spread = weights @ (stds**2 + ((means - centre) ** 2).mean(axis=1))
        self.data_std = float(math.sqrt(spread))
        self._constants = Constants(
            means=means,
            half_square=(means**2).sum(axis=1) / 2,
            variances=stds**2,
            log_weights=np.log(weights),
        )
        check_denoiser(self)

    @property
    def fingerprint(self) -> str:
        """Hash of the parameters. Mixtures that sample alike have the same hash."""
        parts = (self.means, self.stds, self.weights, np.array([self.sigma_min, self.sigma_max]))
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def __call__(self, x: Array, sigma: Array) -> Array:
        xp = array_namespace(x)
        const = self._constants.like(x, xp)
        noise = (sigma**2)[:, None]  # (B, 1)
        precision = 1 / (const.variances + noise)  # (B, M)
        square = xp.sum(x * x, axis=1)[:, None] / 2  # (B, 1)
        logits = (x @ const.means.T - const.half_square - square) * precision  # (B, M)
        logits = logits + const.log_weights + self.dimension / 2 * xp.log(precision)
        responsibility = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
        responsibility = responsibility / xp.sum(responsibility, axis=1, keepdims=True)
        scaled = responsibility * precision
        return (scaled @ const.variances)[:, None] * x + noise * (scaled @ const.means)  # (B, d)

    def sample_data(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (count, d) float32 samples of the mixture."""
        component = rng.choice(len(self.weights), size=count, p=self.weights)
        noise = rng.standard_normal((count, self.dimension))
        return (self.means[component] + self.stds[component, None] * noise).astype(np.float32)
