"""Schedules: hand-made grids, closed forms, optimised grids, and the file that carries one to a sampler."""

from art_gym.schedules.grids import GRIDS, Grid, make_grid
from art_gym.schedules.schedule import Schedule

__all__ = ["GRIDS", "Grid", "Schedule", "make_grid"]
