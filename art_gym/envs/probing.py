"""What is known of a model before sampling: the profile from one probe, as observations."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from art_gym.denoisers.base import Denoiser, is_several
from art_gym.envs.problem import Problem
from art_gym.envs.state import State
from art_gym.schedules.instant import NODES, profile
from art_gym.schedules.probe import Probe, probe
from art_gym.tasks.noise_bank import Same

BOUND = 3.0  # of the scaled logarithms
SCALE = 5.0  # logarithms are divided by this
KNOWN = ("second_order", "log_sigma_max", "log_sigma_min", *(f"stiffness_{i}" for i in range(len(NODES))))


def probe_names(max_steps: int) -> tuple[str, ...]:
    """One name for each element."""
    return (*KNOWN, *(f"closed_form_{k}" for k in range(1, max_steps)))


def write_probe(features: np.ndarray, state: State, problem: Problem, max_steps: int) -> None:
    """Fill (E, F) with what probes tell of the models.

    The elements are whether the solver is of second order, the noise range and the profile in logarithms relative to
    the data, and the levels of ART's closed form for the budget, as those of the group ``grid``.
    """
    same = Same(problem.denoiser)
    for row, number, num_steps in zip(features, model_numbers(state, problem), state.num_steps.tolist(), strict=True):
        row[1:] = _known(same, number, num_steps, max_steps)
    features[:, 0] = second_order(state, problem)


def write_context(features: np.ndarray, state: State, problem: Problem) -> None:
    """Fill (E, 1) with the number of each environment's model, from 0 to 1; 0 for a task that is a single model."""
    last = max(getattr(problem.denoiser, "contexts", 1) - 1, 1)
    features[:, 0] = np.maximum(model_numbers(state, problem), 0) / last


def model_numbers(state: State, problem: Problem) -> list[int]:
    """The number of each environment's model, −1 for a task that is a single model."""
    if not is_several(problem.denoiser):
        return [-1] * len(state.x)
    numbers: list[int] = problem.denoiser.condition(state.x[:, 0]).tolist()  # type: ignore[attr-defined]
    return numbers


def second_order(state: State, problem: Problem) -> np.ndarray:
    """(E,) whether the solver is of second order. One solver is drawn for each model of a family."""
    if problem.solver.name == "drawn":
        drawn: np.ndarray = state.x[:, 0].reshape(len(state.x), -1)[:, -1] > 0
        return drawn
    return np.full(len(state.x), problem.solver.order > 1)


@lru_cache(maxsize=4096)
def probe_of_model(denoiser: Same, number: int) -> Probe:
    """The probe of a denoiser, or of one model of a family."""
    model: Denoiser = denoiser.one if number < 0 else denoiser.one.model(number)
    return probe(model)


@lru_cache(maxsize=16384)
def _known(denoiser: Same, number: int, num_steps: int, max_steps: int) -> np.ndarray:
    found = probe_of_model(denoiser, number)
    ends = np.log(np.array([found.sigma_max, found.sigma_min]) / found.data_std)
    levels = np.full(max_steps - 1, -1.0)
    low, high = np.log([found.sigma_min, found.sigma_max])
    levels[: num_steps - 1] = np.clip((np.log(found.closed_form(num_steps)[1:-1]) - low) / (high - low), 0, 1)
    logs = np.clip(np.concatenate([ends, profile(found)]) / SCALE, -BOUND, BOUND)
    return np.concatenate([logs, levels]).astype(np.float32)
