"""Grids and samplers from fewer than 1,000 evaluations."""

from __future__ import annotations

from typing import Any

from art_gym.schedules.instant import SOLVERS, STEPS, load_policy
from art_gym.schedules.probe import probe
from art_gym.search.instant import find

from ..method import METHODS, Found, Method, Problem
from ..suite import SAMPLER, Cell, Group


def _instant(problem: Problem) -> Found:
    return Found(find(problem.denoiser, problem.num_steps, problem.solver.name).plan)


def _instant_sampler(problem: Problem) -> Found:
    return Found(find(problem.denoiser, problem.num_steps, sampler=True).plan)


def _closed_form(problem: Problem) -> Found:
    return Found(probe(problem.denoiser).closed_form(problem.num_steps))


def _trained(cell: Cell, group: Group) -> dict[str, Any]:
    """How the networks were trained, so that other networks have other results."""
    return {"trained": load_policy().facts}


def _is_trained(cell: Cell) -> bool:
    """Whether instant schedules and samplers have this solver and K."""
    return cell.solver in (*SOLVERS, "drawn", SAMPLER) and STEPS[0] <= cell.num_steps <= STEPS[1]


_SOURCE = "ours: networks from a probe to {}, and a correction"
METHODS.add("instant", Method("probe", _SOURCE.format("levels"), _instant, settings=_trained, fits=_is_trained))
METHODS.add(
    "instant_sampler",
    Method(
        "probe",
        _SOURCE.format("a sampler"),
        _instant_sampler,
        actions=SAMPLER,
        settings=_trained,
        fits=_is_trained,
    ),
)
METHODS.add("art_of_probe", Method("probe", "ART's closed form from the same probe", _closed_form))
