"""Grids from one probe of some 800 evaluations."""

from __future__ import annotations

from art_gym.schedules.instant import STEPS, find, load_policy
from art_gym.schedules.probe import probe

from ..method import METHODS, Found, Method, Problem
from ..suite import Cell


def _instant(problem: Problem) -> Found:
    return Found(find(problem.denoiser, problem.num_steps, problem.solver.name).schedule)


def _closed_form(problem: Problem) -> Found:
    return Found(probe(problem.denoiser).closed_form(problem.num_steps))


def _is_trained(cell: Cell) -> bool:
    """Whether instant schedules have this solver and K."""
    solvers = {name for name, _ in load_policy().regressions} | {"drawn"}
    return cell.solver in solvers and STEPS[0] <= cell.num_steps <= STEPS[1]


METHODS.add("instant", Method("probe", "ours: a regression from the probe to levels", _instant, fits=_is_trained))
METHODS.add("art_of_probe", Method("probe", "ART's closed form from the same probe", _closed_form))
