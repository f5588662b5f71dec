"""Policies of trained models: loaded, followed, evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from art_gym.common.isolation import isolated
from art_gym.envs.episodes import checked_budgets
from art_gym.envs.observations import Observed, lanes
from art_gym.evaluation.heldout import HELDOUT, Evaluation, evaluate_levels, evaluate_policy
from art_gym.evaluation.policies import AdaptivePolicy, Policy
from art_gym.schedules.schedule import Schedule
from art_gym.search.base import SEARCHES

from ..continuous_time import ARTRL
from ..runs.folder import Point, Run
from ..runs.outcome import Outcome
from .checkpoint import load_model
from .setup import Setup


class ModelPolicy:
    """A model's deterministic policy; a recurrent one carries its state from call to call, until `begin`."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self.network = model.policy  # which pickles, without the environment
        self.begin()

    def begin(self) -> None:
        """Forget: the next call is the first of a rollout, with as many lanes as it has."""
        self.memory: Any = None
        self.first = True

    def __call__(self, observation: Observed) -> np.ndarray:
        first, self.first = np.full(lanes(observation), self.first), False
        action, self.memory = self.network.predict(observation, self.memory, first, deterministic=True)
        return action


def policy_of(model: BaseAlgorithm) -> Policy:
    """The model's deterministic policy, which `art_gym.evaluation.policies.follow` begins afresh for each rollout."""
    return ModelPolicy(model)


@isolated()
def load_evaluator(run: Run, task: str | None = None, solver: str | None = None) -> tuple[Setup, Evaluator]:
    """The best policy of a finished or interrupted run, to be evaluated, on another task or solver where named.

    Raises:
        ValueError: where there is none, or the policy does not fit.
    """
    changes = {key: value for key, value in (("task", task), ("solver", solver)) if value is not None}
    setup, model = _best_of(run, changes)
    return setup, evaluator(setup, model)


@isolated()
def load_policy(folder: str | Path, num_steps: int) -> AdaptivePolicy:
    """The best policy of a run, for `art_gym.sample`, as often as one likes: one with a memory begins afresh each time.

    Args:
        folder: of the run.
        num_steps: K, of those that it was trained for.

    Raises:
        ValueError: where there is none, as in a rival's run, for a K that it does not know, or for ART-RL, whose clock
            steers no sampler.
    """
    setup, model = _best_of(Run(folder), {})
    if isinstance(model, ARTRL):
        raise ValueError(f"what {folder} has learned is a clock: sample with its schedule file instead")
    checked_budgets(num_steps, setup.env_config.budgets, f"num_steps of the policy in {folder}")
    return AdaptivePolicy(policy_of(model), setup.env_config, num_steps)


def _best_of(run: Run, changes: dict[str, Any]) -> tuple[Setup, BaseAlgorithm]:
    config = run.config()
    if config.algo in SEARCHES:
        files = sorted(str(file) for file in run.folder.glob("schedule_K*.json"))
        raise ValueError(
            f"{config.algo}, whose run {run.folder} is, finds schedules and has no policy: Schedule.load one of "
            f"{', '.join(files) or 'those that --resume will write'}"
        )
    setup = Setup.resolve(replace(config, env={**config.env, **changes}))
    model = setup.make_model()
    load_model(model, run.folder / "best.pt")
    return setup, model


class Evaluator(Protocol):
    """Evaluates a policy with K steps on ``count`` held-out noises from row ``first`` on."""

    def __call__(self, num_steps: int, count: int = HELDOUT, first: int = 0, distances: bool = True) -> Evaluation: ...


def evaluator(setup: Setup, model: BaseAlgorithm) -> Evaluator:
    """How a model is evaluated: ART-RL by the grid that its clock is distilled to, others by running the policy."""
    config = setup.env_config

    def evaluate(num_steps: int, count: int = HELDOUT, first: int = 0, distances: bool = True) -> Evaluation:
        if isinstance(model, ARTRL):
            levels = model.levels(num_steps)
            return evaluate_levels(setup.target, levels, count, first, distances)
        return evaluate_policy(policy_of(model), config, num_steps, count, first, distances)

    return evaluate


def make_outcome(setup: Setup, evaluate: Evaluator, last: Point) -> Outcome:
    """Evaluate a policy on held-out noise both ways: as it is, and distilled to its mean grid."""
    task, solver = setup.target.task, setup.target.solver.name
    schedules, as_grid, as_policy = {}, {}, {}
    for num_steps in setup.budgets:
        as_policy[num_steps] = evaluate(num_steps)
        levels = as_policy[num_steps].levels
        as_grid[num_steps] = evaluate_levels(setup.target, levels)
        schedules[num_steps] = Schedule(
            sigmas=tuple(levels),
            method=f"{setup.config.algo}, begun by CMA-ES" if setup.searches else setup.config.algo,
            task=task,
            solver=solver,
            seed=setup.config.seed,
            heldout_error=as_grid[num_steps].error,
            flow=setup.target.flow,
        )
    return Outcome(
        setup.config.algo,
        task,
        solver,
        schedules,
        as_grid,
        as_policy,
        evaluations=last.evaluations,
        seconds=last.seconds,
        searches=setup.searches,
    )
