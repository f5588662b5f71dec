"""A start for an agent: what `art_gym.instant` makes from the probes of its models, schedules or samplers.

Rewards tell little about which of several hundred models an action suits. The networks behind instant schedules know,
so the policy begins with what they say for each model, solver and K, and the agent plays on from there. A task that is
a single model begins with its instant schedule, which has a correction too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from art_gym.common.messages import short
from art_gym.denoisers.base import is_several
from art_gym.envs.actions.base import get_action
from art_gym.envs.actions.fraction import FractionMap
from art_gym.envs.actions.sampler import SamplerMap, Steering
from art_gym.envs.config import EnvConfig
from art_gym.envs.core import Core
from art_gym.envs.observations import Observed
from art_gym.envs.probing import model_numbers, probe_of_model, second_order
from art_gym.envs.state import State
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.sampler import as_sampler
from art_gym.schedules.instant import SOLVERS, load_policy
from art_gym.search.instant import SECOND, begin, check_request, find
from art_gym.solvers.base import get_solver
from art_gym.tasks.noise_bank import Same

from .sampler_start import Fittable, fit_policy
from .warm_start import joined

EPISODES, LANES = 6400, 64
REMEDY = "leave the start out with warm_start 0"
LANES_OF_ONE = 4  # episodes for each K of a single model, whose actions depend on the step alone
NEAR = 0.05  # deviation of the actions where there are many models, so that the policy learns to come back
BATCH, FIT_STEPS, FIT_RATE = 2048, 6000, 3e-3


def check_start(config: EnvConfig) -> None:
    """Raise a ValueError for an environment whose action, solver or K no instant schedule or sampler has."""
    action, solver = get_action(config.action), get_solver(config.solver).name
    if not isinstance(action, FractionMap | SamplerMap):
        raise ValueError(f"instant schedules begin actions of fraction and sampler, got {short(action)}: {REMEDY}")
    of_any = isinstance(action, SamplerMap) or solver == "drawn"
    for num_steps in config.budgets:
        try:
            check_request(num_steps, SECOND if of_any else solver)
        except ValueError as error:
            raise ValueError(f"{error}, or {REMEDY}") from None


def instant_start(model: Fittable, most_steps: int, seed: int, progress: bool) -> None:
    """Fit the policy's mean to instant schedules of the training models, or to instant samplers.

    The steps played for that count as the model's, but the last step is left to it. So do the evaluations for the
    instant schedules of a single model. Where there are many, an agent needs their probes anyway.

    Args:
        model: untrained, on an `ARTDiffusionVecEnv` whose actions are those of a `FractionMap` or a `SamplerMap`.
        most_steps: environment steps of the whole run.
        seed: of the episodes.
        progress: show a progress bar.
    """
    env = model.get_env()
    assert env is not None
    core: Core = env.get_attr("core")[0]
    low, high = env.get_attr("config")[0].budgets
    rng = np.random.default_rng([seed, 33])
    if several := is_several(core.problem.denoiser):
        rounds = rng.integers(low, high + 1, EPISODES // LANES).tolist()
    else:
        rounds = [*range(low, high + 1)]
    lanes, spread = (LANES, NEAR) if several else (LANES_OF_ONE, 0.0)
    before = core.problem.denoise.evaluations
    seen: list[Observed] = []
    wanted: list[np.ndarray] = []
    for num_steps in tqdm(rounds, desc="instant schedules", disable=not progress):
        for observed, actions in _played(core, num_steps, lanes, spread, rng):
            seen.append(observed)
            wanted.append(actions)
    targets = np.concatenate(wanted).astype(np.float32)
    fit_policy(model, joined(seen), targets, FIT_STEPS, FIT_RATE, BATCH if several else None, progress=progress)
    spent = -(-(core.problem.denoise.evaluations - before) // core.population)
    model.num_timesteps = min(spent, most_steps - 1)


def _played(
    core: Core, num_steps: int, lanes: int, spread: float, rng: np.random.Generator
) -> Iterator[tuple[Observed, np.ndarray]]:
    """Episodes near what instant gives: (E, …) observations, and the (E, A) actions that lead back to it."""
    population = core.population
    first = population * rng.integers(max(core.problem.bank.size // population, 1), size=lanes)
    noise = (first[:, None] + np.arange(population)) % core.problem.bank.size
    state = core.start(noise, np.full(lanes, num_steps))
    state, plans = core.denoise(state), _plans(core, state, num_steps)
    for k in range(num_steps - isinstance(core.action_map, FractionMap)):  # the last step has no size
        actions = _actions(core, state, plans, k)
        yield core.observe(state), actions
        moved = np.clip(actions + spread * rng.standard_normal(actions.shape), -1, 1)
        state = core.denoise(core.move(state, moved)[0])


def _plans(core: Core, state: State, num_steps: int) -> Coefficients:
    """What instant gives for the models of E environments: (E, K+1) levels, (E, K) told levels, (E, K, 1) weights."""
    if not is_several(core.problem.denoiser):
        one = _plan_of_one(core, num_steps)
        return Coefficients(*(np.repeat(part[None], len(state.x), axis=0) for part in one))
    policy, family, numbers = load_policy(), core.problem.denoiser, model_numbers(state, core.problem)
    solvers = np.where(second_order(state, core.problem), *SOLVERS).tolist()
    made = []
    for number, solver in zip(numbers, solvers, strict=True):
        found = probe_of_model(Same(family), number)
        first, make = begin(policy, family, found, num_steps, solver, isinstance(core.action_map, SamplerMap))
        made.append(make(first))
    return Coefficients(*map(np.stack, zip(*made, strict=True)))


def _plan_of_one(core: Core, num_steps: int) -> Coefficients:
    solver, steers = core.problem.solver.name, isinstance(core.action_map, SamplerMap)
    found = find(core.problem.denoise, num_steps, SECOND if steers else solver, sampler=steers)
    return as_sampler(found.plan, solver).coefficients()


def _actions(core: Core, state: State, plans: Coefficients, k: int) -> np.ndarray:
    """(E, A) actions that lead to these levels in step k, and choose its weights, as near as their range allows."""
    action_map, denoiser, sigma_next = core.action_map, core.problem.denoiser, plans.sigmas[:, k + 1]
    if isinstance(action_map, SamplerMap):
        weights = np.zeros((len(sigma_next), action_map.memory - 1))
        weights[:, :1] = plans.weights[:, k, : action_map.memory - 1]
        told = plans.told[:, min(k + 1, plans.told.shape[1] - 1)]
        asked = Steering(sigma_next, weights, told, plans.told[:, 0])
        return action_map.action(asked, state, core.problem.solver, denoiser)
    assert isinstance(action_map, FractionMap)
    actions = action_map.action(sigma_next, state.sigma, state.step, state.num_steps, denoiser)
    kept: np.ndarray = np.clip(actions, -1, 1)[:, None]
    return kept
