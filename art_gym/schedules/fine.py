"""The fine grid on which the ODE is solved precisely."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.schedules.grids.log_normal import log_normal

REFERENCE_STEPS = 96  # RK4 steps of the precise solution; tests/tasks/test_noise_bank.py measures its error


def reference_grid(denoiser: Denoiser, num_steps: int = REFERENCE_STEPS) -> np.ndarray:
    """About ``num_steps`` + 1 levels from σ_max to 0: half of the steps even in log σ, half where D bends most.

    D changes most where σ is near the data's scale. The even half keeps steps short at the ends.
    """
    even = np.geomspace(denoiser.sigma_max, denoiser.sigma_min, num_steps - num_steps // 2)
    centred = log_normal(num_steps // 2 + 1, denoiser.sigma_max, np.log(denoiser.data_std) - 0.7, 1.3)[1:-1]
    levels = np.unique(np.concatenate([even, centred]))[::-1]
    levels = levels[(levels <= denoiser.sigma_max) & (levels >= denoiser.sigma_min)]
    return np.append(levels, 0.0)
