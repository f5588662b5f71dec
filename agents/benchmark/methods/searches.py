"""Searches through the solver for a grid. All have the same budget, half of which may go to precise endpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from art_gym.search.base import SEARCHES, Sought
from art_gym.search.tuned import tuned

from ..method import METHODS, Found, Kind, Method, Problem, with_budget

TRIALS = 100  # of Nelder-Mead for a tuned grid, about
EVALUATED = 64  # noises at once, by CMA-ES and by gradients


def _tuned(name: str, problem: Problem) -> Found:
    """The budget pays for endpoints and for all trials."""
    cost = TRIALS * problem.solver.evaluations(problem.num_steps)
    start, endpoints = problem.affordable()
    fitted = max(min(len(start), problem.left // cost), 2)
    levels, _ = tuned(name, problem.num_steps, problem.denoiser, problem.solver, start[:fitted], endpoints[:fitted])
    return Found(levels)


def searched(name: str, problem: Problem) -> Found:
    """The last candidate of a registered search."""
    noises = problem.affordable()
    # One step of the environment plays 64 noises, with as many calls as the solver makes in a step.
    played = problem.left // EVALUATED * problem.num_steps // problem.solver.evaluations(problem.num_steps)
    steps = problem.left if name == "defect" else max(played, 1)
    found = SEARCHES[name](Sought(problem.denoiser, problem.solver, problem.num_steps, *noises, problem.seed, steps))
    *_, last = found
    return Found(last.plan)


def _add(name: str, kind: Kind, source: str, make: Callable[[Problem], Found]) -> None:
    METHODS.add(name, Method(kind, source, make, "budget", settings=with_budget))


_FREE: Kind = "gradient-free search"
_add("edm_tuned", _FREE, "Karras et al. 2022, ρ and last level by Nelder-Mead", partial(_tuned, "edm"))
_add("log_normal_tuned", _FREE, "quantiles of a log-normal, by Nelder-Mead", partial(_tuned, "log_normal"))
_add("cma", _FREE, "Hansen 2016, CMA-ES on the levels", partial(searched, "cma"))
_add("defect", _FREE, "ours: Gauss-Newton on the error at the end", partial(searched, "defect"))
_add("gradient", "gradient", "Adam through the solver, as LD3 (arXiv:2405.15506)", partial(searched, "gradient"))
