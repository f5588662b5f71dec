"""Digits with another share of known pixels in each episode."""

from __future__ import annotations

from art_gym.denoisers.base import Denoiser
from art_gym.tasks.registry import task

SHARES = (0.0, 0.25, 0.5, 0.75)


@task
def context_inpaint() -> Denoiser:
    """Digits of which nothing, a quarter, the left half or three quarters are given, as in `digits_inpaint`."""
    from art_gym.tasks.conditions import DIGITS  # torch takes long to import
    from art_gym.tasks.inpaint_context import InpaintContext

    return InpaintContext(DIGITS, SHARES)
