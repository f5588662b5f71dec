"""Solvers, which step between two noise levels, and the bare sampling loop. Each family has its own file."""

from art_gym.common.lazy import exports

__all__, __getattr__, __dir__ = exports(
    __name__,
    base="Solver SOLVERS get_solver solver",
    loop="integrate path",
)
