"""Policies that learn nothing: what any agent must beat."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from art_gym.envs.config import load_config
from art_gym.envs.observations import Observed, lanes
from art_gym.evaluation.heldout import evaluate_policy

from ..method import METHODS, Found, Method, Problem

Action = Callable[[np.random.Generator, int], np.ndarray]  # (E, 1) actions


def _follow(action: Action, problem: Problem) -> Found:
    cell = problem.cell
    config = load_config(cell.task, solver=cell.solver, num_steps=cell.num_steps)
    rng = np.random.default_rng(problem.seed)

    def policy(seen: Observed) -> np.ndarray:
        return action(rng, lanes(seen))

    def error(count: int, first: int) -> float:
        return evaluate_policy(policy, config, cell.num_steps, count, first, distances=False).error

    return Found(None, error)


def _nothing(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.zeros((count, 1))


def _random(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(-1, 1, (count, 1))


METHODS.add("action_0", Method("floor", "the action 0 in every step", partial(_follow, _nothing)))
METHODS.add("random", Method("floor", "random actions", partial(_follow, _random)))
