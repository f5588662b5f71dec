"""Grids that are fitted to a model by calls of it, without any search through a solver. One file per method."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(__name__, base="FITTED Form fitted fitted_grid")
