"""A start for an agent that meets many models: the schedules that `art_gym.instant` makes from their probes.

Rewards tell little about which of several hundred models an action suits. The regression behind instant schedules
knows, so the policy begins with what it says for each model, solver and K, and the agent plays on from there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from art_gym.envs.actions.fraction import FractionMap
from art_gym.envs.core import Core
from art_gym.envs.observations import Observed
from art_gym.envs.probing import model_numbers, probe_of_model, second_order
from art_gym.envs.state import State
from art_gym.schedules.instant import load_policy
from art_gym.tasks.noise_bank import Same

from .sampler_start import Fittable, fit_policy
from .warm_start import joined

EPISODES, LANES = 6400, 64
NEAR = 0.05  # deviation of the actions, so that the policy learns to come back
BATCH, FIT_STEPS, FIT_RATE = 2048, 6000, 3e-3


def instant_start(model: Fittable, most_steps: int, seed: int, progress: bool) -> None:
    """Fit the policy's mean to instant schedules of the training models.

    The steps played for that count as the model's, but the last step is left to it.

    Args:
        model: untrained, on an `ARTDiffusionVecEnv` whose actions are those of a `FractionMap`.
        most_steps: environment steps of the whole run.
        seed: of the episodes.
        progress: show a progress bar.
    """
    env = model.get_env()
    assert env is not None
    core: Core = env.get_attr("core")[0]
    budgets: tuple[int, int] = env.get_attr("config")[0].budgets
    rng = np.random.default_rng([seed, 33])
    seen: list[Observed] = []
    wanted: list[np.ndarray] = []
    for _ in tqdm(range(EPISODES // LANES), desc="instant schedules", disable=not progress):
        num_steps = int(rng.integers(budgets[0], budgets[1] + 1))
        for observed, actions in _played(core, num_steps, rng):
            seen.append(observed)
            wanted.append(actions)
    targets = np.concatenate(wanted).astype(np.float32)
    fit_policy(model, joined(seen), targets, FIT_STEPS, FIT_RATE, BATCH, progress=progress)
    model.num_timesteps = min(len(targets), most_steps - 1)


def _played(core: Core, num_steps: int, rng: np.random.Generator) -> Iterator[tuple[Observed, np.ndarray]]:
    """Episodes near instant schedules: (E, …) observations, and the (E, 1) actions that lead back to the schedules."""
    population = core.population
    first = population * rng.integers(core.problem.bank.size // population, size=LANES)
    state = core.start(first[:, None] + np.arange(population), np.full(LANES, num_steps))
    state, levels = core.denoise(state), _levels(core, state, num_steps)
    for k in range(num_steps - 1):  # the last action has no effect
        actions = _actions(core, state, levels[:, k + 1])
        yield core.observe(state), actions
        moved = np.clip(actions + NEAR * rng.standard_normal(actions.shape), -1, 1)
        state = core.denoise(core.move(state, moved)[0])


def _levels(core: Core, state: State, num_steps: int) -> np.ndarray:
    """(E, K+1) instant schedules for the models of E environments."""
    policy, numbers = load_policy(), model_numbers(state, core.problem)
    solvers = np.where(second_order(state, core.problem), "dpmpp_2m", "euler").tolist()
    probes = [probe_of_model(Same(core.problem.denoiser), number) for number in numbers]
    return np.stack([policy.levels(found, num_steps, name) for found, name in zip(probes, solvers, strict=True)])


def _actions(core: Core, state: State, sigma_next: np.ndarray) -> np.ndarray:
    """(E, 1) actions of a `FractionMap` that lead to these levels, as near as their range allows."""
    assert isinstance(core.action_map, FractionMap)
    actions = core.action_map.action(sigma_next, state.sigma, state.step, state.num_steps, core.problem.denoiser)
    kept: np.ndarray = np.clip(actions, -1, 1)[:, None]
    return kept
