"""Solvers: one step between two noise levels, a file a family, and the bare sampling loop."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    base="Solver SOLVERS get_solver solver",
    loop="integrate path",
)
