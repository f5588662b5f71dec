"""Schedules for the shipped networks, by every compared method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.schedules.closed_forms import art, cancellation_aware, dual_weighted
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import make_grid
from art_gym.schedules.schedule import Schedule
from art_gym.search.defect import defect
from art_gym.search.gauss_newton import GaussNewton
from art_gym.search.tuned import tuned
from art_gym.solvers.base import get_solver
from art_gym.tasks.registry import resolve

from ..reports.comparison import tuned_label
from .study import Study, bank_noises

Levels = np.ndarray | Schedule

SOLVERS = ("euler", "dpmpp_2m", "heun")
TASKS = ("digits_net", "photos_net")

EVALUATIONS = {"photos_net": 50_000}  # for each learned schedule, 400,000 on other tasks

TRAINING = {"digits_net": 512, "photos_net": 96}
TUNING = {"digits_net": 512, "photos_net": 32}  # noises to tune EDM's grid on
HAND_MADE = ("edm", "log_snr", "cosine", "arctan")
EDM_TUNED = tuned_label("edm")
LEARNED = "learned (Gauss-Newton)"
ORACLE = "oracle (best fixed grid known)"
ORACLE_NOISES = {"digits_net": 1024, "photos_net": 96}
ORACLE_STEPS = {"digits_net": 3, "photos_net": 1}  # of Gauss-Newton, from the best grid that any method found
DUAL = {"dual-weighted (a)": dual_weighted, "dual-weighted (b)": cancellation_aware}
DUAL_LATENTS = {"digits_net": 64, "photos_net": 8}


def methods(
    study: Study, task: str, solver: str, num_steps: int, found: list[np.ndarray]
) -> dict[str, Callable[[int], np.ndarray]]:
    """Grids by method, as functions of a seed. The oracle starts from grids that the others have ``found`` before."""
    denoiser = resolve(task)
    methods: dict[str, Callable[[int], np.ndarray]] = {
        name: lambda _, name=name: make_grid(name, num_steps, denoiser)  # type: ignore[misc]
        for name in HAND_MADE
    }
    methods[EDM_TUNED] = lambda _: _tuned_edm(task, solver, num_steps)
    methods["ART closed form"] = lambda seed: art(denoiser, num_steps, _training(task)[0][:64])
    for name, form in DUAL.items():
        methods[name] = (
            lambda _, name=name, form=form: np.array(  # type: ignore[misc]
                study.once(  # the same for every solver, and expensive: it solves the ODE from each node
                    {"task": task, "num_steps": num_steps, "method": name},
                    lambda: {"sigmas": form(denoiser, num_steps, _training(task)[0][: DUAL_LATENTS[task]]).tolist()},
                )["sigmas"]
            )
        )
    methods[LEARNED] = lambda seed: learn_schedule(task, solver, num_steps, seed)
    methods[ORACLE] = lambda _: _oracle(task, solver, found)
    return methods


def _tuned_edm(task: str, solver: str, num_steps: int) -> np.ndarray:
    denoiser, (start, endpoints) = resolve(task), _training(task)
    noises = start[: TUNING[task]], endpoints[: TUNING[task]]
    return tuned("edm", num_steps, denoiser, solver, *noises)[0]


def tuned_once(study: Study, task: str, solver: str, num_steps: int) -> np.ndarray:
    """EDM's grid with its parameters fitted, computed once."""
    key = {"tuned": task, "solver": solver, "num_steps": num_steps}
    return np.array(study.once(key, lambda: {"sigmas": _tuned_edm(task, solver, num_steps).tolist()})["sigmas"])


def _oracle(task: str, solver: str, grids: list[np.ndarray]) -> np.ndarray:
    """The best fixed grid known, which is the best grid on training noises improved there by Gauss-Newton."""
    denoiser, (start, endpoints) = resolve(task), (noises[: ORACLE_NOISES[task]] for noises in _training(task))
    fit = GaussNewton(Counted(denoiser), get_solver(solver), start, endpoints)
    first = min((logits_from_levels(grid, denoiser) for grid in grids), key=lambda tried: fit.improve(tried, 0)[0])
    levels: np.ndarray = levels_from_logits(fit.improve(first, ORACLE_STEPS[task])[1], denoiser)
    return levels


def learn_schedule(task: str, solver: str, num_steps: int, seed: int) -> np.ndarray:
    """The (K+1,) levels that Gauss-Newton finds on the noises of a seed."""
    start, endpoints = _training(task)
    half = len(start) // 2  # each seed has its own noises
    rows = np.random.default_rng(seed).permutation(len(start))[:half]
    budget = EVALUATIONS.get(task, 400_000)
    return defect(resolve(task), num_steps, solver, start[rows], endpoints[rows], seed, budget)


def _training(task: str) -> tuple[np.ndarray, np.ndarray]:
    return bank_noises(task, "train", 2 * TRAINING.get(task, 512))
