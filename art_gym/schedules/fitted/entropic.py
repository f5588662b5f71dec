"""Entropic time and its rescaled form (Stancevic, Handke, Ambrogioni 2025, arXiv:2504.13612)."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.schedules.closed_forms import equidistribute
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.fitted.base import Diffused, equal_parts, fitted

NODES = 64


@fitted("entropic")
def entropic(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """Equal entropy H(x₀ | x_σ) between the levels, dH/dσ = mmse(σ)/σ³, down to σ_min.

    Cost: 128 evaluations for each latent. No free parameter. mmse(σ) = E‖x₀ − D(x_σ, σ)‖² is the training loss.
    """
    nodes, errors = _mmse(denoiser, start)
    rate = errors / nodes**2  # in log σ
    return equal_parts(nodes, (rate[1:] + rate[:-1]) / 2 * np.log(nodes[:-1] / nodes[1:]), num_steps)


@fitted("entropic_rescaled")
def entropic_rescaled(denoiser: Denoiser, num_steps: int, start: np.ndarray) -> np.ndarray:
    """As `entropic`, with the rate σ dH/dσ = mmse(σ)/σ² in σ, down to 0. For a Gaussian it is the arctan grid."""
    nodes, errors = _mmse(denoiser, start)
    rate = errors / nodes  # in log σ
    return equidistribute(nodes, np.append((rate[1:] + rate[:-1]) / 2, rate[-1]), num_steps)


def _mmse(denoiser: Denoiser, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) levels from σ_max to σ_min, and (M,) E‖x₀ − D(x_σ, σ)‖² there, as a mean over the elements."""
    nodes, diffused = reference_grid(denoiser, NODES)[:-1], Diffused(denoiser, start)
    return nodes, np.array([diffused.mmse(sigma) for sigma in nodes])
