"""The exact denoiser of a mixture of Gaussians, each with its own variance along every axis."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from art_gym.denoisers.base import SIGMA_MAX, SIGMA_MIN, Array
from art_gym.denoisers.checks import check_denoiser
from art_gym.denoisers.constants import Constants


class DiagonalMixture:
    """The mixture Σ_m w_m N(c_m, diag λ_m), which is known in closed form.

    With v_m = λ_m + σ², the posterior of the component is r_m ∝ w_m Π_j v_mj^{-1/2} exp(−Σ_j (x_j − c_mj)²/2v_mj), and
    D(x, σ) = Σ_m r_m (λ_m x + σ² c_m) / v_m.

    Args:
        means: (M, d) centres.
        variances: (M, d) positive variances.
        weights: (M,) positive weights, normalised here. By default all are equal.

    Raises:
        ValueError: for shapes that do not fit, or variances or weights that are not positive.
    """

    def __init__(
        self,
        means: np.ndarray,
        variances: np.ndarray,
        weights: np.ndarray | None = None,
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
    ) -> None:
        means, variances = (np.asarray(each, np.float64) for each in (means, variances))
        if means.ndim != 2 or variances.shape != means.shape or not (variances > 0).all():
            raise ValueError(
                f"need (M, d) means and as many positive variances, got means of shape {means.shape} and variances of "
                f"shape {variances.shape} from {variances.min(initial=np.inf):g}"
            )
        weights = np.ones(len(means)) if weights is None else np.asarray(weights, np.float64)
        if weights.shape != (len(means),) or not (weights > 0).all():
            raise ValueError(f"need {len(means)} positive weights, one for each of the means, got {weights}")
        self.means, self.variances, self.weights = means, variances, weights / weights.sum()
        self.shape: tuple[int, ...] = (means.shape[1],)
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        centre = self.weights @ means
        self.data_std = float(math.sqrt(self.weights @ (variances + (means - centre) ** 2).mean(axis=1)))
        self._constants = Constants(means=means, variances=variances, log_weights=np.log(self.weights))
        check_denoiser(self)

    @property
    def fingerprint(self) -> str:
        """Hash of the parameters. Mixtures that sample alike have the same hash."""
        parts = (self.means, self.variances, self.weights, np.array([self.sigma_min, self.sigma_max]))
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def __call__(self, x: Array, sigma: Array) -> Array:
        xp = array_namespace(x)
        const = self._constants.like(x, xp)
        if isinstance(sigma, np.ndarray) and (sigma == sigma[:1]).all():  # saves most logarithms and divisions
            sigma = sigma[:1]
        noise = (sigma**2)[:, None]  # (B, 1), or (1, 1)
        modes = [self._mode(const, m, x, noise, xp) for m in range(len(self.weights))]
        logits = xp.stack([logit for logit, _ in modes])  # (M, B)
        responsibility = xp.exp(logits - xp.max(logits, axis=0, keepdims=True))
        responsibility = responsibility / xp.sum(responsibility, axis=0, keepdims=True)
        return sum(responsibility[m][:, None] * mean for m, (_, mean) in enumerate(modes))  # (B, d)

    @staticmethod
    def _mode(const: Any, m: int, x: Array, noise: Array, xp: Any) -> tuple[Array, Array]:
        """(B,) log of a mode's unnormalised posterior, and (B, d) posterior mean within it."""
        # Modes one by one: an array (B, M, d) is slow, and the expanded square loses digits where a variance is tiny.
        total = const.variances[m] + noise  # (B, d) or (1, d)
        away = x - const.means[m]  # (B, d)
        square = xp.sum(away * away / total, axis=1)  # (B,)
        logit = const.log_weights[m] - (square + xp.sum(xp.log(total), axis=1)) / 2
        return logit, const.means[m] + const.variances[m] / total * away

    def sample_data(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (count, d) float32 samples of the mixture."""
        component = rng.choice(len(self.weights), size=count, p=self.weights)
        noise = rng.standard_normal((count, *self.shape))
        return (self.means[component] + np.sqrt(self.variances[component]) * noise).astype(np.float32)
