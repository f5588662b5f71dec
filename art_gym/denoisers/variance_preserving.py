"""Noise levels of discrete variance-preserving schedulers, for adapters and for exports."""

from __future__ import annotations

from typing import Any

import numpy as np


def vp_sigmas(scheduler: Any) -> np.ndarray:
    """(T,) increasing noise levels σ = √((1 − ᾱ)/ᾱ) of a scheduler's timesteps; a zero terminal SNR is left out."""
    signal = np.asarray(scheduler.alphas_cumprod, np.float64)
    signal = signal[signal > 1e-8]
    return np.sqrt((1 - signal) / signal)
