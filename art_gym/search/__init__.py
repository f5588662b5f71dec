"""Searches for a schedule that call the model: Gauss-Newton, gradients, CMA-ES, tuned grids and the oracle."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    evolution="evolve",
    gradient="gradient_descent",
    oracle="optimise",
)
