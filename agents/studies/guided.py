"""Fixed sizes and guidance weights of all steps as actions, and searches for them by the classifier's cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from art_gym.common.isolation import isolated
from art_gym.denoisers.base import visible
from art_gym.envs.actions.guidance import GuidanceMap, Guided
from art_gym.envs.config import EnvConfig
from art_gym.envs.core import Core
from art_gym.envs.observations import Observed, lanes
from art_gym.envs.state import State
from art_gym.evaluation.policies import follow
from art_gym.measures.class_quality import Quality

Cost = Callable[[np.ndarray], float]  # of (K, 2) actions
CANDIDATES, SPREAD = 12, 0.3  # of CMA-ES; the standard deviation of an action among the first ones


class Fixed:
    """The same (K, 2) actions in every episode, a policy for `evaluate_policy`."""

    def __init__(self, actions: np.ndarray) -> None:
        self.actions = actions
        self.begin()

    def begin(self) -> None:
        """Go back to the first step."""
        self.steps: Iterator[np.ndarray] = iter(self.actions)

    def __call__(self, observed: Observed) -> np.ndarray:
        return np.broadcast_to(next(self.steps), (lanes(observed), self.actions.shape[1]))


class Sampling:
    """Samples some training noises with fixed actions.

    Args:
        config: of the environment.
        noises: how many of the first training noises.
    """

    def __init__(self, config: EnvConfig, noises: int) -> None:
        self.core: Core = replace(config, population=noises).make_core()
        bank = self.core.problem.bank
        self.start = np.concatenate([bank.noises(i) for i in range(-(-noises // bank.chunk))])[:noises]
        self.num_steps = config.budgets[1]
        self.evaluations = 0

    def quality(self, actions: np.ndarray) -> Quality:
        """What the classifier says of the samples with (K, 2) actions."""
        denoiser = self.core.problem.denoiser
        x = follow(self.core, Fixed(actions), self.core.denoise(self._begin()), self.num_steps).x  # (1, N, *shape)
        self.evaluations += self.num_steps * len(self.start)
        (found,) = denoiser.quality(visible(x, denoiser, 2), denoiser.condition(x[0])[None])  # type: ignore[attr-defined]
        quality: Quality = found
        return quality

    def _begin(self) -> State:
        return self.core.begin(self.start[None], np.array([self.num_steps]), np.zeros((1, len(self.start)), np.int64))

    def cost(self, actions: np.ndarray) -> float:
        """The cost with (K, 2) actions."""
        return self.quality(actions).cost

    def actions(self, levels: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The (K, 2) actions that give (K+1,) levels and (K,) guidance weights, as near as their range allows."""
        action_map, denoiser = self.core.action_map, self.core.problem.denoiser
        assert isinstance(action_map, GuidanceMap)
        state, found = self._begin(), []
        for sigma_next, weight in zip(levels[1:], weights, strict=True):
            chosen = Guided(np.array([sigma_next]), np.array([weight]))
            found.append(action_map.action(chosen, state, denoiser)[0])
            state, _ = self.core.move(state, found[-1][None])
        return np.array(found)


def constant(cost: Cost, sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The (K, 2) actions with these (K,) sizes and the best of some guidance actions in every step."""
    return min((np.column_stack([sizes, np.full(len(sizes), each)]) for each in weights), key=cost)


def interval(cost: Cost, sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """As `constant`, with guidance in the best interval of steps and w = 1 elsewhere (Kynkäänniemi et al. 2024)."""

    def inside(first: int, last: int, weight: float) -> np.ndarray:
        steps = np.arange(len(sizes))
        return np.column_stack([sizes, np.where((first <= steps) & (steps < last), weight, 0.0)])

    ends = combinations(range(len(sizes) + 1), 2)
    return min((inside(first, last, each) for first, last in ends for each in weights), key=cost)


def evolved(cost: Callable[[np.ndarray], float], first: np.ndarray, evaluations: int, seed: int) -> np.ndarray:
    """The mean of CMA-ES (Hansen 2016) after some evaluations of a cost of (P,) numbers in [−1, 1]."""
    with isolated():  # the import adds warning filters
        from cma import CMAEvolutionStrategy

    options: dict[str, Any] = {"popsize": CANDIDATES, "verbose": -9, "bounds": [-1, 1]}
    options |= {"seed": np.nan, "randn": np.random.RandomState(seed + 1).randn}
    strategy = CMAEvolutionStrategy(np.clip(first, -0.95, 0.95), SPREAD, options)
    for _ in range(max(evaluations // CANDIDATES, 1)):
        asked = strategy.ask()
        strategy.tell(asked, [cost(numbers) for numbers in asked])
    found: np.ndarray = np.clip(strategy.result.xfavorite, -1, 1)
    return found
