"""Registers ART-RL."""

from __future__ import annotations

from ..continuous_time import ARTRL
from .base import algorithm

algorithm("art_rl")(ARTRL)
