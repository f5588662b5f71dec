"""Grids that never call the model."""

from __future__ import annotations

from functools import partial

from art_gym.schedules.grids.base import GRIDS, make_grid
from art_gym.schedules.step_optim import step_optim

from ..method import METHODS, Found, Method, Problem

SOURCES = {
    "edm": "Karras et al. 2022, eq. 5, ρ = 7",
    "beta": "Lee et al. 2024, quantiles of log σ, α = 0.6",
    "laplace": "Hang et al. 2024, quantiles of log SNR, b = 0.5",
    "linear_quadratic": "Movie Gen 2024, threshold 0.025",
    "log_snr": "Lu et al. 2022, equal steps of log SNR",
    "cosine": "Nichol and Dhariwal 2021, eq. 17",
    "arctan": "the optimum of Euler's steps for one Gaussian",
}


def _grid(name: str, problem: Problem) -> Found:
    return Found(make_grid(name, problem.num_steps, problem.denoiser))


def _step_optim(problem: Problem) -> Found:
    return Found(step_optim(problem.denoiser, problem.num_steps))


for _name in GRIDS:
    _source = SOURCES.get(_name, "known grid, as published")
    METHODS.add(_name, Method("hand-made", _source, partial(_grid, _name), "last level, shape: as published"))
METHODS.add("step_optim", Method("hand-made", "Xue et al. 2024, arXiv:2402.17376, order 1 to 3", _step_optim, "p = 2"))
