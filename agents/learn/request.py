"""What is asked of `art-gym learn`, checked before a large model is loaded."""

from __future__ import annotations

from pathlib import Path

from art_gym.common.files import check_writable
from art_gym.envs.config import MAX_STEPS
from art_gym.search.base import SEARCHES
from art_gym.solvers.base import get_solver

from ..algorithms.base import algorithm_class


def check_request(num_steps: int, solver: str, seed: int, out: Path, agent: str | None) -> None:
    """Raise a ValueError for what cannot be learned or written: now, before a large model is loaded."""
    if not 2 <= num_steps <= MAX_STEPS:
        raise ValueError(
            f"a schedule to learn has from 2 to {MAX_STEPS} steps, got {num_steps}: one step has nothing to learn"
        )
    if seed < 0:
        raise ValueError(f"a seed is a whole number of at least 0, got {seed}")
    get_solver(solver)
    check_new(out)
    check_agent(agent)


def check_new(out: Path) -> None:
    """Raise a ValueError for a file that cannot be written, or where a schedule or the report of one stands already."""
    check_writable(out)
    for file in (out, out.parent / f"{out.stem}_report.md"):
        if file.exists():
            raise ValueError(f"{file} exists already, and may hold what cost more: remove it, or name another with -o")


def check_agent(name: str | None) -> None:
    """Raise a ValueError for a name that is no agent which could train: now, not when its turn comes."""
    if name in SEARCHES:
        raise ValueError(f"{name!r} is no RL agent: leave --agent out, CMA-ES follows by itself")
    if name is not None:
        algorithm_class(name)
