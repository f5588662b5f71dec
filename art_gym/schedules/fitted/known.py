"""Closed forms and StepOptim under the same interface."""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.schedules.closed_forms import art, cancellation_aware, dual_weighted
from art_gym.schedules.fitted.base import FITTED, fitted
from art_gym.schedules.step_optim import step_optim

FITTED.add("art", art)
FITTED.add("dual_weighted", dual_weighted)
FITTED.add("cancellation_aware", cancellation_aware)


@fitted("step_optim")
def step_optim_of(denoiser: Denoiser, num_steps: int, _: np.ndarray) -> np.ndarray:
    """See `art_gym.schedules.step_optim.step_optim`. It needs no call."""
    return step_optim(denoiser, num_steps)
