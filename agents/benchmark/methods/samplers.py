"""Methods that choose all of a step. All begin with a good grid for 2M and have the same budget."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from art_gym.measures.errors import endpoint_error
from art_gym.samplers.freedom import MOST_MEMORY, Freedom
from art_gym.samplers.sampler import Sampler
from art_gym.search.base import SEARCHES, Sought
from art_gym.search.defect import defect
from art_gym.search.sampler_defect import GRID_SHARE, sampler_defect

from ...studies.ld3 import ld3
from ...studies.peers import MULTISTEP, ROUNDS, Learning, best_grid_of, bns, s4s
from ...studies.solver_search import fine_paths, solver_search
from ...studies.spanlift import RATE, spanlift
from ..method import METHODS, Found, Kind, Method, Problem, with_budget
from ..scale import target_of
from ..suite import SAMPLER
from .searches import EVALUATED

NAMES = {
    "unipc_2": "UniPC, order 2",
    "unipc_3": "UniPC, order 3",
    "dpmpp_3m": "DPM-Solver++(3M)",
    "deis": "DEIS",
    "ipndm": "iPNDM",
}
BATCH = 64  # of Adam
FREEDOMS = {"sampler_defect": Freedom(3, True), "sampler_defect_every": Freedom(MOST_MEMORY, True)}


class _Begun(NamedTuple):
    noises: tuple[np.ndarray, np.ndarray]
    levels: np.ndarray  # (K+1,) of a good grid for 2M

    @classmethod
    def of(cls, problem: Problem) -> _Begun:
        noises = problem.affordable()
        share = GRID_SHARE * problem.left
        grid = defect(problem.denoiser, problem.num_steps, problem.solver, *noises, problem.seed, share)
        return cls(noises, grid)

    def learning(self, problem: Problem) -> Learning:
        """What the budget leaves."""
        updates = max(problem.left // (EVALUATED * problem.num_steps), 1)
        return Learning(*self.noises, problem.left, updates, BATCH, seed=problem.seed)


def _multistep(name: str, problem: Problem) -> Found:
    begun = _Begun.of(problem)
    return Found(best_grid_of(MULTISTEP[name], problem.denoiser, begun.levels, begun.learning(problem)))


def _bns(told: bool, problem: Problem) -> Found:
    begun = _Begun.of(problem)
    return Found(bns(problem.denoiser, begun.levels, begun.learning(problem), told))


def _s4s(rounds: int, problem: Problem) -> Found:
    begun = _Begun.of(problem)
    return Found(s4s(problem.denoiser, begun.levels, begun.learning(problem), rounds))


def _ld3(problem: Problem) -> Found:
    begun = _Begun.of(problem)
    how = begun.learning(problem)
    twice = replace(how, updates=max(how.updates // 2, 1))  # an update samples a batch twice
    return Found(ld3(problem.denoiser, begun.levels, twice))


def _solver_search(problem: Problem) -> Found:
    begun = _Begun.of(problem)
    # Not counted: these paths lead to the endpoints, which are paid for.
    paths = fine_paths(problem.denoiser.denoiser, begun.noises[0])
    return Found(solver_search(problem.denoiser, begun.levels, begun.learning(problem), paths))


def _spanlift(problem: Problem) -> Found:
    begun = _Begun.of(problem)
    base = Sampler.of(begun.levels, "dpmpp_2m").coefficients()
    lifted = spanlift(problem.denoiser, base, replace(begun.learning(problem), rate=RATE))

    def error(count: int, first: int) -> float:
        target = target_of(problem.cell)
        start, endpoints = (part[first:] for part in target.noises("heldout", first + count))
        return float(endpoint_error(lifted.draw(target.denoiser, start), endpoints).mean())

    return Found(None, error)


def _newton(freedom: Freedom, problem: Problem) -> Found:
    begun, memory = _Begun.of(problem), min(freedom.memory, problem.num_steps)
    within = Freedom(memory, freedom.told)
    found = sampler_defect(
        problem.denoiser, problem.num_steps, within, *begun.noises, problem.seed, problem.left, begun.levels
    )
    return Found(found)


def _cma(problem: Problem) -> Found:
    noises = problem.affordable()
    freedom = Freedom(min(3, problem.num_steps), True)
    steps = max(problem.left // EVALUATED, 1)
    sought = Sought(problem.denoiser, problem.solver, problem.num_steps, *noises, problem.seed, steps, freedom)
    *_, last = SEARCHES["cma"](sought)
    return Found(last.plan)


def _add(name: str, kind: Kind, source: str, make: partial[Found]) -> None:
    METHODS.add(name, Method(kind, source, make, "budget", SAMPLER, with_budget))


for _name, _label in NAMES.items():
    _add(_name, "gradient-free search", f"{_label} on its own best grid", partial(_multistep, _label))
for _name, _freedom in FREEDOMS.items():
    _add(_name, "gradient-free search", f"ours: Gauss-Newton on levels, {_freedom.name}", partial(_newton, _freedom))
_add("sampler_cma", "gradient-free search", "Hansen 2016, CMA-ES on levels, weights and told levels", partial(_cma))
_add("bns", "gradient", "Shaul et al. 2024, arXiv:2403.01329; exact for a constant D", partial(_bns, False))
_add("bns_told", "gradient", "the same with told levels", partial(_bns, True))
_add("s4s", "gradient", "Frankel et al. 2025, arXiv:2502.17423, weights of 3 calls", partial(_s4s, 0))
_add("s4s_alt", "gradient", "the same, weights and levels in turns", partial(_s4s, ROUNDS))
_LD3 = "Tong et al. 2025, arXiv:2405.15506, on 2M; soft teacher and told levels as in their code"
METHODS.add("ld3", Method("gradient", _LD3, _ld3, "budget, radius, window, rates", SAMPLER, with_budget))
_SEARCHED = "Wang et al. 2025, arXiv:2505.21114; the samplers of BNS, with the error along the path as in their code"
METHODS.add("solver_search", Method("gradient", _SEARCHED, _solver_search, "budget", SAMPLER, with_budget))
_LIFTED = "Kim et al. 2026, arXiv:2606.08672, on 2M's best grid; the network and its training are ours"
METHODS.add("spanlift", Method("gradient", _LIFTED, _spanlift, "budget, network, rate", SAMPLER, with_budget))
