"""The first calls of a model: its checks, how many of torch's threads make it fastest, and what the budget buys."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from art_gym.denoisers.base import check_single
from art_gym.denoisers.checks import check_call_once

from .cost import cost_of
from .noises import Draws
from .trial import Trial


def first_calls(trial: Trial, draws: Draws, num_steps: int, seed: int) -> str:
    """Call a model at both ends of its noise range and between, and time it. Returns what the budget buys, in words.

    Raises:
        ValueError: for a denoiser that is many models, or values that are not finite.
    """
    model, meter, rng = trial.model, trial.denoiser, np.random.default_rng([seed, 3])
    check_single(model)
    check_call_once(model)
    probe = draws.draw(2, rng)
    for sigma in (model.sigma_max, model.data_std, model.sigma_min):
        meter(probe, np.full(2, sigma, np.float32))
    choose_threads(lambda: meter(probe, np.full(2, model.data_std, np.float32)))
    return cost_of(trial, draws, num_steps, rng)


def choose_threads(call: Callable[[], object]) -> None:
    """Make a call with all of torch's threads and with one, and keep the faster setting.

    Threads wait for each other on cores that other programs use. A small model can take a thousand times as long.
    """
    seconds = {}
    for threads in dict.fromkeys((torch.get_num_threads(), 1)):
        torch.set_num_threads(threads)
        began = time.perf_counter()
        call()
        seconds[threads] = time.perf_counter() - began
    torch.set_num_threads(min(seconds, key=lambda threads: seconds[threads]))
