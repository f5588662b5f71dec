"""A training run: its configuration, its folder and its outcome."""

from .config import TrainConfig
from .folder import Point, Run
from .outcome import Outcome

__all__ = ["Outcome", "Point", "Run", "TrainConfig"]
