"""Samplers: all of a step and not only its size. A schedule with a solver of one call a step is one of them."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    sampler="Sampler as_sampler",
    coefficients="Coefficients follow",
    traced="traced",
)
