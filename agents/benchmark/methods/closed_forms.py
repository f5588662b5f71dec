"""Grids that are fitted to the model's outputs without a search through the solver."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from art_gym.schedules.fitted.base import NOISES, fitted_grid
from art_gym.tasks.families.base import Family
from art_gym.tasks.registry import get_task

from ..method import METHODS, Found, Method, Problem
from ..suite import Cell

FEW_NOISES = 64  # for forms that take thousands of calls


class _Form(NamedTuple):
    source: str
    free: str
    noises: int = NOISES


FORMS = {
    "art": _Form("ART, arXiv:2607.02137: θ ∝ (E|Q|)^(−1/2)", "none"),
    "dual_weighted": _Form("ours: ART's form with the propagator to the end", "none", FEW_NOISES),
    "cancellation_aware": _Form("ours: the same, with cancellations between steps", "none", FEW_NOISES),
    "constant_rate": _Form("Okada et al. 2024, arXiv:2411.12188, data prediction", "measure, ξ = 1"),
    "entropic": _Form("Stancevic et al. 2025, arXiv:2504.13612, dH/dσ = mmse/σ³", "none"),
    "entropic_rescaled": _Form("the same, rescaled: mmse/σ²", "none"),
    "score_optimal": _Form("Williams et al. 2024, arXiv:2412.07877, the corrector's cost", "speed σ"),
    "gits": _Form("Chen et al. 2024, arXiv:2405.11326; their code, not the paper's text", "factor 1.15, fine path"),
    "gits_l2": _Form("the same with the plain distance", "fine path"),
    "elbo": _Form("Watson et al. 2021, arXiv:2106.03802: L(t, s) of the ELBO; for ancestral sampling", "fine grid"),
    "align_your_steps": _Form(
        "Sabour et al. 2024, arXiv:2404.14507: KLUB; for stochastic solvers",
        "first grid, rounds, candidates",
        FEW_NOISES,
    ),
    "optimal_steps": _Form("Pei et al. 2025, arXiv:2503.21774; their code", "fine path, latents"),
}


def _form(name: str, noises: int, problem: Problem) -> Found:
    return Found(fitted_grid(name, problem.num_steps, problem.denoiser, problem.start(noises)))


def _leaves_the_line(cell: Cell) -> bool:
    """Whether paths of the task leave the line from noise to sample, which they cannot in one dimension."""
    task = get_task(cell.task)
    return not isinstance(task, Family) and task.shape != (1,)


for _name, _known in FORMS.items():
    _make = partial(_form, _name, _known.noises)
    if _name == "gits":
        METHODS.add(_name, Method("closed form", _known.source, _make, _known.free, fits=_leaves_the_line))
    else:
        METHODS.add(_name, Method("closed form", _known.source, _make, _known.free))
