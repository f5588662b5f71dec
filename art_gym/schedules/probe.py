"""What one fine trajectory of a few noises tells about a model: how fast its denoiser changes, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser, check_single, visible
from art_gym.schedules.closed_forms import equidistribute, norms, trajectory
from art_gym.schedules.fine import reference_grid

NOISES, LEVELS = 16, 48  # docs/results/instant.md has the error against these
TINY = 1e-6  # smallest stiffness that counts, in units of the data's standard deviation


@dataclass(frozen=True, eq=False)
class Probe:
    """The profile of a denoiser along one fine trajectory.

    Attributes:
        levels: (M,) decreasing noise levels.
        stiffness: (M,) E‖dD/d log σ‖ there, in units of the data's standard deviation.
        gram: (M−1, M−1) E⟨ΔD_a, ΔD_b⟩ by elements, of the changes of D between the levels, in the same unit squared.
        data_std, sigma_min, sigma_max: of the denoiser.
        calls, evaluations: what the probe cost: calls of the denoiser, and samples in them.
    """

    levels: np.ndarray
    stiffness: np.ndarray
    gram: np.ndarray
    data_std: float
    sigma_min: float
    sigma_max: float
    calls: int
    evaluations: int

    def closed_form(self, num_steps: int) -> np.ndarray:
        """(K+1,) levels of the ART closed form: equal ∫ √(E‖dD/d log σ‖) d log σ between them."""
        return equidistribute(self.levels, np.sqrt(self.stiffness), num_steps)


def probe(denoiser: Denoiser, noises: int = NOISES, levels: int = LEVELS, seed: int = 0) -> Probe:
    """Follow a few noises down a fine grid, at one call of the denoiser for each level.

    Args:
        denoiser: D.
        noises: how many noises. More of them give a steadier profile.
        levels: about how many levels.
        seed: of the noises.

    Raises:
        ValueError: for fewer than one noise or 8 levels, many models at once, or values of D that are not finite; the
            message names σ.
    """
    check_single(denoiser)
    if noises < 1 or levels < 8:
        raise ValueError(f"a probe needs at least 1 noise and 8 levels, got {noises} and {levels}: ask for more")
    rng = np.random.default_rng([seed, 31])
    start = rng.standard_normal((noises, *denoiser.shape), np.float32) * np.float32(denoiser.sigma_max)
    nodes, counted = reference_grid(denoiser, levels)[:-1], Counted(denoiser)
    stiffness, denoised = np.empty(len(nodes)), []  # (M,), M of (B, *shape)
    for i, (_, estimate, slope) in enumerate(trajectory(counted, nodes, start)):
        stiffness[i] = norms(visible(slope, denoiser)).mean() / denoiser.data_std
        denoised.append(visible(estimate, denoiser))
    return Probe(
        levels=nodes,
        stiffness=np.maximum(stiffness, TINY),
        gram=gram_of_changes(denoised) / denoiser.data_std**2,
        data_std=float(denoiser.data_std),
        sigma_min=float(denoiser.sigma_min),
        sigma_max=float(denoiser.sigma_max),
        calls=counted.calls,
        evaluations=counted.evaluations,
    )


def gram_of_changes(denoised: Sequence[np.ndarray]) -> np.ndarray:
    """(M−1, M−1) E⟨ΔD_a, ΔD_b⟩ by elements, of M estimates of shape (B, *shape) each."""
    count = len(denoised[0])
    gram = np.zeros((len(denoised) - 1, len(denoised) - 1))
    for b in range(count):
        path = np.stack([estimate[b].ravel() for estimate in denoised])  # (M, d)
        changes = np.diff(path.astype(np.float64), axis=0)
        gram += changes @ changes.T / changes.shape[1] / count
    return gram
