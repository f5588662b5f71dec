"""A start for an agent whose actions choose all of a step: the samplers that Gauss-Newton finds, one for each K.

Rewards tell little about twenty numbers that must fit each other. Gauss-Newton uses the whole defect and not only its
size, so its samplers are a start that an agent does not find by playing in the same time.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import cast

import numpy as np
import torch
from sb3_contrib import TQC, TRPO, CrossQ
from stable_baselines3 import A2C, PPO, SAC, TD3
from tqdm import tqdm

from art_gym.envs.actions.sampler import SamplerMap, Steering
from art_gym.envs.core import Core
from art_gym.envs.observations import Observed
from art_gym.envs.state import State
from art_gym.samplers.coefficients import Coefficients
from art_gym.search.base import exhaust
from art_gym.search.least_squares import Fit, by_error
from art_gym.search.sampler_defect import STEPS, SamplerProblem, sampler_defect

from .warm_start import joined, quiet

Fittable = PPO | A2C | TRPO | SAC | TD3 | TQC | CrossQ  # their policies have a mean to fit

ROUNDS, LANES = 4, 16  # episodes by each sampler, for the policy's fit
NEAR = 0.003  # deviation of the actions in all rounds but the first
REPAIRS, LATENTS = 4, 512  # of a sampler that lies outside of the actions' range
FIT_STEPS, FIT_RATE = 4000, 1e-2  # of Adam, whose rate falls to 0


def sampler_start(
    model: Fittable, budgets: range, evaluations: float, most_steps: int, seed: int, progress: bool
) -> None:
    """Fit the policy's mean to samplers for each K, which a search finds on the training noises.

    The evaluations of the search count as those of steps that the model has played, but the last step is left to it.

    Args:
        model: untrained, on an `ARTDiffusionVecEnv` whose actions are those of a `SamplerMap`.
        budgets: every K of the environment.
        evaluations: of the denoiser, after which the search for one K begins nothing new.
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
    for num_steps in tqdm(budgets, desc="Gauss-Newton", unit="K", disable=not progress):
        freedom = core.action_map.freedom
        made = sampler_defect(denoiser, num_steps, freedom, bank.start, bank.endpoints, seed, evaluations)
        made = _in_reach(core, made)
        spent = denoiser.evaluations
        rng = np.random.default_rng([seed, num_steps])
        for round in range(ROUNDS):
            for observed, actions in _played(core, made, NEAR if round else 0.0, rng):
                seen.append(observed)
                wanted.append(actions)
        denoiser.evaluations = spent  # showing is no searching
    fit_policy(model, joined(seen), np.concatenate(wanted).astype(np.float32), FIT_STEPS, FIT_RATE)
    model.num_timesteps = min((denoiser.evaluations - before) // core.population, most_steps - 1)


def _in_reach(core: Core, made: Coefficients) -> Coefficients:
    """The best sampler found that actions can choose: this one, or improved ones moved to the edge of their range."""
    bank, denoiser = core.problem.bank, core.problem.denoise
    assert isinstance(core.action_map, SamplerMap)
    num_steps, rows = len(made.told), slice(LATENTS)
    problem = SamplerProblem(denoiser, num_steps, core.action_map.freedom, bank.start[rows], bank.endpoints[rows])
    newton, rng = problem.newton(core.action_map.freedom), np.random.default_rng(0)
    found: list[Fit] = []
    for _ in range(REPAIRS):
        state = exhaust(_played(core, made, 0.0, rng))
        reached = Coefficients(
            np.append(state.grid[0, :num_steps], 0.0), state.told[0, :num_steps], state.weights[0, :num_steps]
        )
        found.append(newton.improve(problem.numbers(reached), 0))
        if np.allclose(found[-1].numbers, problem.numbers(made), atol=1e-3):
            break
        made = problem.made(newton.improve(found[-1].numbers, STEPS).numbers)
    return problem.made(min(found, key=by_error).numbers)


def _played(
    core: Core, made: Coefficients, spread: float, rng: np.random.Generator
) -> Generator[tuple[Observed, np.ndarray], None, State]:
    """Episodes near a sampler: (E, …) observations, and the (E, A) actions that go on with the sampler from there.

    Returns:
        The state at their end.
    """
    num_steps, denoiser, solver = len(made.told), core.problem.denoiser, core.problem.solver
    assert isinstance(core.action_map, SamplerMap)
    noise = rng.integers(core.problem.bank.size, size=(LANES, core.population))
    state = core.denoise(core.start(noise, np.full(LANES, num_steps)))
    weights = np.zeros((num_steps, core.action_map.memory - 1))
    weights[:, : made.weights.shape[1]] = made.weights[:, : weights.shape[1]]
    for k in range(num_steps):
        after = made.told[min(k + 1, num_steps - 1)]
        steering = Steering(
            np.full(LANES, made.sigmas[k + 1]),
            np.tile(weights[k], (LANES, 1)),
            np.full(LANES, after),
            np.full(LANES, made.told[0]),
        )
        actions = core.action_map.action(steering, state, solver, denoiser)
        yield core.observe(state), actions
        moved = np.clip(actions + spread * rng.standard_normal(actions.shape), -1, 1)
        state = core.denoise(core.move(state, moved)[0])
    return state


def fit_policy(
    model: Fittable,
    seen: Observed,
    wanted: np.ndarray,
    steps: int,
    rate: float,
    batch: int | None = None,
    progress: bool = False,
) -> None:
    """Fit the mean of a policy to actions by Adam, whose rate falls to 0.

    Args:
        model: with the policy.
        seen: observations, N of them.
        wanted: (N, A) actions.
        steps, rate: of Adam. A sampler's numbers must fit each other to about four digits.
        batch: how many observations a step uses, by default all. It needs observations that are arrays.
        progress: show a progress bar.
    """
    policy, targets = model.policy, torch.as_tensor(wanted)
    inputs, _ = policy.obs_to_tensor(seen)
    optimiser = torch.optim.Adam(policy.parameters(), rate)  # does not change what the mean does not depend on
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    chance = torch.Generator().manual_seed(0)
    policy.set_training_mode(True)
    for _ in tqdm(range(steps), desc="fit of the policy", disable=not progress):
        given, aims = inputs, targets
        if batch is not None:
            rows = torch.randint(len(targets), (batch,), generator=chance)
            given, aims = cast(torch.Tensor, inputs)[rows], targets[rows]
        loss = torch.nn.functional.mse_loss(policy._predict(given, deterministic=True), aims)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        decay.step()
    policy.set_training_mode(False)
    if isinstance(model, SAC):
        quiet(model)
