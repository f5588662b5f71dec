"""A start for an agent whose actions choose all of a step: the samplers that Gauss-Newton finds, one for each K.

Rewards tell little about twenty numbers that must fit each other. Gauss-Newton uses the whole defect and not only its
size, so its samplers are a start that an agent does not find by playing in the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from sb3_contrib import TQC, TRPO, CrossQ
from stable_baselines3 import A2C, PPO, SAC, TD3
from tqdm import tqdm

from art_gym.envs.actions.sampler import SamplerMap, Steering
from art_gym.envs.core import Core
from art_gym.envs.observations import LATENTS as STATISTICS
from art_gym.envs.observations import Observed
from art_gym.envs.state import State
from art_gym.samplers.coefficients import Coefficients
from art_gym.search.sampler_defect import STEPS, sampler_defect
from art_gym.search.sampler_newton import SamplerNewton

from .warm_start import joined, quiet

Fittable = PPO | A2C | TRPO | SAC | TD3 | TQC | CrossQ  # their policies have a mean to fit

NEARBY, NEAR = 8, 0.003  # episodes near each sampler, for the policy's fit, and the deviation of their actions
SEEN = 64  # episodes of both kinds if the policy sees the latents: their sampler is the same, which takes many to learn
ROUGH = 1e-3  # their weight: on its own path the policy must be exact, and near it can be rough
LATENTS = 512  # for the improvement of a sampler that lies outside of the actions' range
FIT_STEPS, FIT_RATE = 10_000, 1e-2  # of Adam, whose rate falls to 0


def sampler_start(
    model: Fittable, budgets: range, evaluations: float, most_steps: int, seed: int, progress: bool
) -> None:
    """Fit the policy's mean to samplers for each K, which a search finds on the training noises.

    The evaluations of the search count as those of steps that the model has played, but the last step is left to it.

    Args:
        model: untrained, on an `ARTDiffusionVecEnv` whose actions are those of a `SamplerMap`.
        budgets: every K of the environment.
        evaluations: of the denoiser for each K, on average, after which its search begins nothing new. A Jacobian's
            cost grows as K², and so does the share of a K.
        most_steps: environment steps of the whole run.
        seed: of the searches.
        progress: show a progress bar.
    """
    env = model.get_env()
    assert env is not None
    core: Core = env.get_attr("core")[0]
    bank, denoiser = core.problem.bank, core.problem.denoise
    assert isinstance(core.action_map, SamplerMap)
    bank.ensure(bank.size)
    before = denoiser.evaluations
    seen: list[Observed] = []
    wanted: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    mean_square = float(np.mean(np.square(budgets)))
    sees = not set(STATISTICS).isdisjoint(core.observation.names(core.max_steps))
    on_path, nearby = (SEEN, SEEN) if sees else (1, NEARBY)
    freedom, most_weight, noises = core.action_map.freedom, core.action_map.most_weight, (bank.start, bank.endpoints)
    for num_steps in tqdm(budgets, desc="Gauss-Newton", unit="K", disable=not progress):
        share = evaluations * num_steps**2 / mean_square
        made = sampler_defect(denoiser, num_steps, freedom, *noises, seed, share, most_weight=most_weight)
        made = _in_reach(core, made, share)
        spent = denoiser.evaluations
        rng = np.random.default_rng([seed, num_steps])
        for lanes, spread, weight in ((on_path, 0.0, 1.0), (nearby, NEAR, ROUGH)):
            for observed, actions in _played(core, made, lanes, spread, rng):
                seen.append(observed)
                wanted.append(actions)
                weights.append(np.full(lanes, weight, np.float32))
        denoiser.evaluations = spent  # showing is no searching
    targets = np.concatenate(wanted).astype(np.float32)
    fit_policy(model, joined(seen), targets, FIT_STEPS, FIT_RATE, weights=np.concatenate(weights))
    model.num_timesteps = min((denoiser.evaluations - before) // core.population, most_steps - 1)


def _in_reach(core: Core, made: Coefficients, evaluations: float) -> Coefficients:
    """A sampler that actions can choose: this one, or the best that Gauss-Newton finds from its nearest one.

    No new Jacobian begins after so many evaluations.
    """
    bank, denoiser, action_map = core.problem.bank, core.problem.denoise, core.action_map
    assert isinstance(action_map, SamplerMap)
    num_steps, freedom = len(made.told), action_map.freedom

    def reachable(numbers: np.ndarray) -> Coefficients:
        return _nearest(core, freedom.coefficients(numbers, num_steps, denoiser))

    numbers = freedom.numbers(made, denoiser)
    if np.allclose(freedom.numbers(reachable(numbers), denoiser), numbers, atol=1e-3):
        return made
    noises, budget = (bank.start[:LATENTS], bank.endpoints[:LATENTS]), denoiser.evaluations + evaluations
    newton = SamplerNewton(denoiser, num_steps, reachable, *noises, budget)
    return reachable(newton.improve(numbers, STEPS).numbers)


def _nearest(core: Core, made: Coefficients) -> Coefficients:
    """The sampler of the actions that are nearest to the ones that a sampler asks for."""
    solver, denoiser, action_map = core.problem.solver, core.problem.denoiser, core.action_map
    assert isinstance(action_map, SamplerMap)
    num_steps = len(made.told)
    sigmas, told = np.append(made.sigmas[0], np.zeros(num_steps)), np.ones(num_steps)
    weights = np.zeros((num_steps, action_map.memory - 1))
    for k in range(num_steps):
        state = cast(  # a map reads no more of a state
            State,
            SimpleNamespace(
                step=np.array([k]),
                num_steps=np.array([num_steps]),
                sigma=sigmas[k : k + 1],
                previous_sigma=sigmas[k - 1 : k] if k else np.array([np.inf]),
            ),
        )
        asked = _steering(made, action_map, k, 1)
        chosen = action_map(action_map.action(asked, state, solver, denoiser), state, solver, denoiser)
        weights[k] = chosen.weights[0]
        if k == 0:
            told[0] = chosen.told_first[0]
        if k + 1 < num_steps:
            sigmas[k + 1], told[k + 1] = chosen.sigma_next[0], chosen.told_next[0]
    return Coefficients(sigmas, told, weights)


def _steering(made: Coefficients, action_map: SamplerMap, k: int, lanes: int) -> Steering:
    """What a sampler asks of step k, in some lanes at once."""
    after = made.told[min(k + 1, len(made.told) - 1)]
    weights = np.zeros((lanes, action_map.memory - 1))
    known = made.weights[k, : weights.shape[1]]
    weights[:, : len(known)] = known
    return Steering(
        np.full(lanes, made.sigmas[k + 1]),
        weights,
        np.full(lanes, after),
        np.full(lanes, made.told[0]),
    )


def _played(
    core: Core, made: Coefficients, lanes: int, spread: float, rng: np.random.Generator
) -> Iterator[tuple[Observed, np.ndarray]]:
    """Episodes near a sampler: (E, …) observations, and the (E, A) actions that go on with the sampler from there."""
    num_steps, denoiser, solver = len(made.told), core.problem.denoiser, core.problem.solver
    assert isinstance(core.action_map, SamplerMap)
    noise = rng.integers(core.problem.bank.size, size=(lanes, core.population))
    state = core.denoise(core.start(noise, np.full(lanes, num_steps)))
    for k in range(num_steps):
        asked = _steering(made, core.action_map, k, lanes)
        actions = core.action_map.action(asked, state, solver, denoiser)
        yield core.observe(state), actions
        moved = np.clip(actions + spread * rng.standard_normal(actions.shape), -1, 1)
        state = core.denoise(core.move(state, moved)[0])


def fit_policy(
    model: Fittable,
    seen: Observed,
    wanted: np.ndarray,
    steps: int,
    rate: float,
    batch: int | None = None,
    weights: np.ndarray | None = None,
    progress: bool = False,
) -> None:
    """Fit the mean of a policy to actions by Adam, whose rate falls to 0.

    Args:
        model: with the policy.
        seen: observations, N of them.
        wanted: (N, A) actions.
        steps, rate: of Adam. A sampler's numbers must fit each other to about four digits.
        batch: how many observations a step uses, by default all. It needs observations that are arrays.
        weights: (N,) of the observations, by default all the same.
        progress: show a progress bar.
    """
    policy, targets = model.policy, torch.as_tensor(wanted)
    inputs, _ = policy.obs_to_tensor(seen)
    shares = torch.ones(len(targets)) if weights is None else torch.as_tensor(weights / weights.mean())
    optimiser = torch.optim.Adam(policy.parameters(), rate)  # does not change what the mean does not depend on
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    chance = torch.Generator().manual_seed(0)
    policy.set_training_mode(True)
    for _ in tqdm(range(steps), desc="fit of the policy", disable=not progress):
        given, aims, share = inputs, targets, shares
        if batch is not None:
            rows = torch.randint(len(targets), (batch,), generator=chance)
            given, aims, share = cast(torch.Tensor, inputs)[rows], targets[rows], shares[rows]
        missed = policy._predict(given, deterministic=True) - aims  # (N, A)
        loss = (share[:, None] * missed**2).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        decay.step()
    policy.set_training_mode(False)
    if isinstance(model, SAC):
        quiet(model)
