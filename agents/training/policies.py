"""Policies of trained models: load, follow and evaluate them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from art_gym.common.isolation import isolated
from art_gym.envs.episodes import checked_budgets
from art_gym.envs.observations import Observed, lanes
from art_gym.evaluation.heldout import HELDOUT, Evaluation, evaluate_plan, evaluate_policy
from art_gym.evaluation.policies import AdaptivePolicy, Policy
from art_gym.samplers.plans import Document, document
from art_gym.search.base import SEARCHES

from ..continuous_time import ARTRL
from ..runs.folder import Point, Run
from ..runs.outcome import Outcome, plan_files
from .checkpoint import load_model
from .setup import Setup


class ModelPolicy:
    """A model's deterministic policy. A recurrent one carries its state from call to call, until `begin`."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self.network = model.policy  # can be pickled, since it does not hold the environment
        self.begin()

    def begin(self) -> None:
        """Clear the memory: the next call begins a rollout, with any number of lanes."""
        self.memory: Any = None
        self.first = True

    def __call__(self, observation: Observed) -> np.ndarray:
        first, self.first = np.full(lanes(observation), self.first), False
        action, self.memory = self.network.predict(observation, self.memory, first, deterministic=True)
        return action


def policy_of(model: BaseAlgorithm) -> Policy:
    """The model's deterministic policy, which `art_gym.evaluation.policies.follow` resets for each rollout."""
    return ModelPolicy(model)


@isolated()
def load_evaluator(
    run: Run, task: str | None = None, solver: str | None = None, modules: Collection[str] = ()
) -> tuple[Setup, Evaluator]:
    """An evaluator for the best policy of a finished or interrupted run, on another task or solver if given.

    Args:
        run: the run.
        task, solver: to evaluate on.
        modules: your own modules that the run may name.

    Raises:
        ValueError: if there is no policy, or it does not fit.
    """
    changes = {key: value for key, value in (("task", task), ("solver", solver)) if value is not None}
    setup, model = _best_of(run, changes, modules)
    return setup, evaluator(setup, model)


@isolated()
def load_policy(folder: str | Path, num_steps: int, modules: Collection[str] = ()) -> AdaptivePolicy:
    """The best policy of a run, for any number of calls of `art_gym.sample`; each call resets the policy's memory.

    Args:
        folder: of the run.
        num_steps: K, one that it was trained for.
        modules: your own modules that the run may name, such as that of its task. Code of others never runs.

    Raises:
        ValueError: if the run has no policy, such as the run of a search; for a K that the policy was not trained for;
            or for ART-RL, since its clock cannot steer a sampler.
    """
    setup, model = _best_of(Run(folder), {}, modules)
    if isinstance(model, ARTRL):
        raise ValueError(f"{folder} holds an ART-RL run, which learned a clock: sample with its schedule file instead")
    checked_budgets(num_steps, setup.env_config.budgets, f"num_steps of the policy in {folder}")
    return AdaptivePolicy(policy_of(model), setup.env_config, num_steps)


def _best_of(run: Run, changes: dict[str, Any], modules: Collection[str]) -> tuple[Setup, BaseAlgorithm]:
    config = run.config(modules)
    if config.algo in SEARCHES:
        files = map(str, plan_files(run.folder))
        raise ValueError(
            f"{run.folder} holds a run of {config.algo}, which finds schedules and has no policy: load one of "
            f"{', '.join(files) or 'those that --resume will write'}"
        )
    setup = Setup.resolve(config, changes)
    model = setup.make_model()
    load_model(model, run.folder / "best.pt")
    return setup, model


class Evaluator(Protocol):
    """Evaluates a policy with K steps on ``count`` held-out noises from row ``first`` on."""

    def __call__(self, num_steps: int, count: int = HELDOUT, first: int = 0, distances: bool = True) -> Evaluation: ...


def evaluator(setup: Setup, model: BaseAlgorithm) -> Evaluator:
    """An evaluator for a model: it evaluates ART-RL by the grid of its clock, and others by running the policy."""
    config = setup.env_config

    def evaluate(num_steps: int, count: int = HELDOUT, first: int = 0, distances: bool = True) -> Evaluation:
        if isinstance(model, ARTRL):
            levels = model.levels(num_steps)
            return evaluate_plan(setup.target, levels, count, first, distances)
        return evaluate_policy(policy_of(model), config, num_steps, count, first, distances)

    return evaluate


def make_outcome(setup: Setup, evaluate: Evaluator, last: Point) -> Outcome:
    """Evaluate a policy on held-out noise in two ways: as it is, and distilled to its mean plan."""
    task, solver, method = setup.target.task, setup.target.solver.name, setup.config.algo
    if setup.begun_by is not None:
        method += f", begun by {setup.begun_by}"
    plans: dict[int, Document] = {}
    as_grid, as_policy = {}, {}
    for num_steps in setup.budgets:
        as_policy[num_steps] = evaluate(num_steps)
        plan = as_policy[num_steps].plan
        as_grid[num_steps] = evaluate_plan(setup.target, plan)
        plans[num_steps] = document(
            plan,
            method,
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
        plans,
        as_grid,
        as_policy,
        evaluations=last.evaluations,
        seconds=last.seconds,
        begun_by=setup.begun_by,
        begun_with=setup.begun_with,
    )
