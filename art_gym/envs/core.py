"""The batched dynamics: E environments of N latents each, one denoiser call for all of them. No Gymnasium is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from art_gym.common.messages import short
from art_gym.denoisers.base import check_finite, is_several
from art_gym.envs.actions.base import ActionMap, Wide, bounded
from art_gym.envs.actions.guidance import GuidanceMap
from art_gym.envs.actions.sampler import SamplerMap, Steering
from art_gym.envs.checks import all_finite, checked_pair, name_of
from art_gym.envs.observations import Observation, Observed, scaled_log
from art_gym.envs.probing import model_numbers
from art_gym.envs.problem import Problem
from art_gym.envs.rewards.base import Reward
from art_gym.envs.state import Landing, State, Transition
from art_gym.envs.steering import guided, level_told, memory_of, mixed, remembered
from art_gym.solvers.base import Previous, land


class Outcome(NamedTuple):
    """The results of a step: (E,) rewards, (E,) landed, and named (E,) infos. NaN marks an info without a value."""

    reward: np.ndarray
    landed: np.ndarray
    info: dict[str, np.ndarray]


@dataclass(frozen=True)
class Core:
    """The dynamics of DESIGN §3 as functions of a `State`. The environments keep the state.

    A step is `advance` followed by `denoise`. In `advance` the solver moves the latents. Single-call solvers need no
    denoiser call for that, because the state holds D(x, σ). `denoise` computes D at the new state, with one call for
    all environments that need it.

    Attributes:
        problem: denoiser, solver, noises.
        action_map, reward, observation: the three maps that make an environment.
        population: N.
        max_steps: largest budget K.
    """

    problem: Problem
    action_map: ActionMap | Wide
    reward: Reward
    observation: Observation
    population: int
    max_steps: int

    def start(self, noise: np.ndarray, num_steps: np.ndarray) -> State:
        """The state at σ_max for (E, N) rows of the bank and (E,) budgets. D is not yet computed."""
        bank = self.problem.bank
        bank.ensure(int(noise.max()) + 1)
        return self.begin(bank.start[noise], num_steps, noise)

    def begin(self, x: np.ndarray, num_steps: np.ndarray, noise: np.ndarray) -> State:
        """Like `start`, but from your own (E, N, *shape) latents at σ_max. ``noise`` is only stored."""
        count = len(x)
        told, weights, earlier = memory_of(self.action_map, count, self.max_steps, x.shape[1:])
        sigma = np.full(count, self.problem.denoiser.sigma_max)
        grid = np.full((count, self.max_steps), np.nan)
        grid[:, 0] = sigma
        log_sigma, log_grid = np.ones(count), np.full(grid.shape, -1.0, np.float32)
        log_grid[:, 0] = 1.0
        return State(
            x=x,
            denoised=x,
            previous_denoised=np.zeros_like(x),
            sigma=sigma,
            previous_sigma=np.full(count, np.inf),
            step=np.zeros(count, np.int64),
            num_steps=np.asarray(num_steps, np.int64),
            grid=grid,
            log_sigma=log_sigma,
            log_grid=log_grid,
            noise=noise,
            told=told,
            weights=weights,
            earlier=earlier,
        )

    @property
    def action_size(self) -> int:
        """How many numbers an action has."""
        return len(self.action_map.names) if isinstance(self.action_map, Wide) else 1

    def advance(self, state: State, action: np.ndarray) -> tuple[State, Outcome]:
        """Take one step in every environment, with actions (E, A) in [−1, 1].

        Returns:
            The new state (its D is not yet computed) and the outcome.
        """
        after, landed = self.move(state, action)
        transition = Transition(state, after, landed, self._landing(after, landed))
        reward, components = checked_pair(self.reward(transition, self.problem), landed.shape, self.reward)
        return after, Outcome(reward, landed, {**_info(transition), **self._met(transition), **components})

    def move(self, state: State, action: np.ndarray) -> tuple[State, np.ndarray]:
        """Like `advance`, without a reward. Returns the new state and (E,) landed.

        Raises:
            ValueError: if the action map gives NaN, or does not give one level for each environment.
        """
        landed = state.step + 1 == state.num_steps
        told, weights, earlier = state.told, state.weights, state.earlier
        if not isinstance(self.action_map, Wide):
            proposed = self.action_map(action[:, 0], state.sigma, state.step, state.num_steps, self.problem.denoiser)
            sigma_next = self._kept(proposed, state, landed)
            x = self._move(state, sigma_next, landed)
        elif isinstance(self.action_map, SamplerMap):
            steering = self.action_map(action, state, self.problem.solver, self.problem.denoiser)
            state = self._called_first(state, steering)
            sigma_next = self._kept(steering.sigma_next, state, landed)
            told, weights, earlier = remembered(state, steering)
            x = self._mixed(state, steering, sigma_next)
        else:
            assert isinstance(self.action_map, GuidanceMap)
            choice = self.action_map(action, state, self.problem.denoiser)
            state = guided(state, choice.weights, self.problem.denoiser)
            weights = state.weights
            sigma_next = self._kept(choice.sigma_next, state, landed)
            x = self._move(state, sigma_next, landed)
        log_sigma = scaled_log(sigma_next, self.problem.denoiser)
        step = state.step + 1
        grid, log_grid = _extended(state, step, sigma_next, log_sigma)
        after = State(
            x=x,
            denoised=state.denoised,
            previous_denoised=state.denoised,
            sigma=sigma_next,
            previous_sigma=state.sigma,
            step=step,
            num_steps=state.num_steps,
            grid=grid,
            log_sigma=log_sigma,
            log_grid=log_grid,
            noise=state.noise,
            told=told,
            weights=weights,
            earlier=earlier,
        )
        return after, landed

    def _kept(self, proposed: np.ndarray, state: State, landed: np.ndarray) -> np.ndarray:
        """(E,) proposed levels within their limits, 0 in the environments that land."""
        # As many positive levels are still to come after this one.
        ahead = state.num_steps - state.step - 2
        sigma_next = bounded(proposed, state.sigma, ahead, self.problem.denoiser)
        fits = sigma_next.shape == landed.shape
        if fits:
            sigma_next[landed] = 0.0
        if not (fits and all_finite(sigma_next)):  # `bounded` corrects anything but NaN
            raise ValueError(
                f"the action map {name_of(self.action_map)} must give a level for each of {len(landed)} environments, "
                f"not NaN, got {short(proposed)} from sigma = {short(state.sigma)}: check its formula there"
            )
        return sigma_next

    @property
    def _calls_later(self) -> bool:
        """Whether an episode's first call waits for the first action, which says what the model is told."""
        return isinstance(self.action_map, SamplerMap) and self.action_map.told

    def _called_first(self, state: State, steering: Steering) -> State:
        """The state with the first call made, in the environments where it has waited for the action."""
        first = state.step == 0
        if not (self._calls_later and first.any()):
            return state
        told = state.told.copy()
        told[first, 0] = steering.told_first[first]
        denoised = state.denoised.copy()
        denoised[first] = self._denoised(state._replace(told=told).take(first))
        return state._replace(told=told, denoised=denoised)

    def _mixed(self, state: State, steering: Steering, sigma_next: np.ndarray) -> np.ndarray:
        """(E, N, *shape): x after a sampler's step, the landing too."""
        ratio = (sigma_next / state.sigma).astype(np.float32).reshape(-1, *[1] * (state.x.ndim - 1))
        aim = mixed(state, steering.weights)
        moved: np.ndarray = ratio * state.x + (1 - ratio) * aim
        return moved

    def denoise(self, state: State) -> State:
        """Fill in D(x, σ), with one call for all environments whose σ is positive.

        Raises:
            ValueError: if the denoiser gives a value that is not finite; the message names σ.
        """
        if self._calls_later and not state.step.all():  # some wait for their first action
            waiting = state.step == 0
            state = state.with_denoised(np.where(waiting.reshape(-1, *[1] * (state.x.ndim - 1)), 0, state.denoised))
            if waiting.all():
                return state
            return state.put(~waiting, self.denoise(state.take(~waiting)))
        count = np.count_nonzero(state.sigma)  # four times faster than any(), which matters with few environments
        if count == len(state.sigma):
            return state.with_denoised(self._denoised(state))
        if not count:
            return state.with_denoised(state.x)
        denoised, running = state.x.copy(), state.sigma > 0
        denoised[running] = self._denoised(state.take(running))
        return state.with_denoised(denoised)

    def observe(self, state: State) -> Observed:
        """(E, features) float32 observations, or a dictionary if the observation is raw."""
        return self.observation(state, self.problem, self.max_steps)

    def _denoised(self, state: State) -> np.ndarray:
        x, sigma = self._flat(state.x), self._per_latent(level_told(state))
        denoised = self.problem.denoise(x, sigma)
        check_finite(denoised, sigma, self.problem.denoiser)
        same: np.ndarray = denoised.astype(state.x.dtype, copy=False).reshape(state.x.shape)
        return same

    def _move(self, state: State, sigma_next: np.ndarray, landed: np.ndarray) -> np.ndarray:
        """(E, N, *shape): x after the step. A landing is the same for every solver."""
        count = np.count_nonzero(landed)
        if not count:
            return self._solve(state, sigma_next)
        ended: np.ndarray = land(state.denoised)
        if count == len(landed):
            return ended
        x, moving = ended.copy(), ~landed
        x[moving] = self._solve(state.take(moving), sigma_next[moving])
        return x

    def _solve(self, state: State, sigma_next: np.ndarray) -> np.ndarray:
        previous = Previous(self._flat(state.previous_denoised), self._per_latent(state.previous_sigma))
        moved = self.problem.solver.step(
            self.problem.denoise,
            self._flat(state.x),
            self._flat(state.denoised),
            self._per_latent(state.sigma),
            self._per_latent(sigma_next),
            previous,
        )
        same: np.ndarray = moved.astype(state.x.dtype, copy=False).reshape(state.x.shape)  # a solver may call D itself
        return same

    def _flat(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(-1, *array.shape[2:])  # (E·N, *shape)

    def _per_latent(self, sigma: np.ndarray) -> np.ndarray:
        single = sigma.astype(np.float32)
        return single if self.population == 1 else np.repeat(single, self.population)  # (E·N,)

    def _landing(self, after: State, landed: np.ndarray) -> Landing | None:
        count = np.count_nonzero(landed)
        if not count:
            return None
        ended = after if count == len(landed) else after.take(landed)
        return Landing(ended, self.problem.endpoint_errors(ended), self.problem.reference_errors(ended))

    def _met(self, transition: Transition) -> dict[str, np.ndarray]:
        """The number of the model that an ended episode met, where the task is many models."""
        if transition.landing is None or not is_several(self.problem.denoiser):
            return {}
        return {"model": transition.on_landed(lambda ended: np.array(model_numbers(ended.state, self.problem)), np.nan)}


def _info(transition: Transition) -> dict[str, np.ndarray]:
    before, after = transition.before.sigma, transition.after.sigma
    ratio = after / before
    if transition.landing is not None:
        ratio[transition.landed] = np.nan  # otherwise the logarithm of 0
    change = np.log(ratio)
    info = {"sigma": before, "sigma_next": after, "delta_log_sigma": change}
    if transition.landing is not None:
        info["error"] = transition.on_landed(lambda landing: landing.errors.mean(axis=1), np.nan)
        info["error_reference"] = transition.on_landed(lambda landing: landing.reference_errors.mean(axis=1), np.nan)
    return info


def _extended(
    state: State, step: np.ndarray, sigma: np.ndarray, log_sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The grid and its logarithms with one more positive level, written at the (E,) positions ``step``."""
    grid, log_grid = state.grid.copy(), state.log_grid.copy()
    (lanes,) = sigma.nonzero()
    at = step[lanes]
    grid[lanes, at] = sigma[lanes]
    log_grid[lanes, at] = log_sigma[lanes]
    return grid, log_grid
