"""The environment for one agent: a thin class around the core at E = 1."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding

from art_gym.envs.checks import (
    ACTION_BOUND,
    Modes,
    checked_actions,
    checked_mode,
    checked_options,
    checked_seed,
    fresh_seed,
)
from art_gym.envs.config import load_config
from art_gym.envs.core import Core
from art_gym.envs.episodes import Episodes, pinned
from art_gym.envs.observations import LIMIT, Observed, lane_of
from art_gym.envs.spec import completed
from art_gym.envs.state import State


def spaces(core: Core) -> tuple[gym.Space[Any], gym.spaces.Box]:
    """Observation and action space of one environment."""
    low, high = core.observation.bounds(core.max_steps)
    space: gym.Space[Any] = gym.spaces.Box(low, high, dtype=np.float32)
    if core.observation.raw:
        shape = (core.population, *core.problem.denoiser.shape)
        space = gym.spaces.Dict({"features": space, "latents": gym.spaces.Box(-LIMIT, LIMIT, shape, np.float32)})
    return space, gym.spaces.Box(-ACTION_BOUND, ACTION_BOUND, (core.action_size,), np.float32)


class ARTDiffusionEnv(gym.Env[Observed, np.ndarray]):
    """Choose the noise levels of a diffusion sampler, one step at a time.

    ## Description
    A diffusion sampler integrates dx/dσ = (x − D(x, σ))/σ from σ_max down to 0 in K steps. Each step costs a call of
    the denoiser D. The agent chooses the next noise level at each step. One environment steers a population of N
    latents with one clock. At N = 1 the schedule can adapt to the sample.

    ## Action Space
    `Box(-1, 1, (1,), float32)`: the size of the step. In the default map it sets the share of the remaining log-noise
    range that the step covers, sigmoid(logit(1/m) + 3a) with m steps left. Action 0 at every step gives the geometric
    grid. Actions out of range are clipped. NaN is an error. The last step always lands on 0, whatever the action. In
    `ARTDiffusion-Guidance-v0` a second number is the guidance of the step, and the landing has one too.

    ## Observation Space
    A flat `Box` of float32 with finite bounds, in the groups `time` (share of steps taken, steps left, log σ), `grid`
    (log σ of all levels so far, −1 for those to come) and `latents` (statistics of x and D(x, σ) over the population).
    `observation_names` names each element. `art_gym.envs.observations.Observation` says how it is scaled. With
    `raw_latents=True` the space is a `Dict` of this vector ("features") and the scaled latents ("latents").

    ## Rewards
    0 until the last step, then log(mean err_ref / mean err). Here err is the root-mean-square distance of a latent to
    the precise endpoint of the same noise. err_ref is that distance for EDM's grid (ρ = 7) with the same K and the same
    noise. 0 is as good as EDM's grid, +0.69 halves the error. The reward sees only those endpoints. A sample that is as
    probable but elsewhere counts as wrong. An error of the denoiser itself does not count. The mean over the population
    hides which latents pay. In `ARTDiffusion-Guidance-v0` no endpoint is right, and a classifier gives the reward,
    −(2 (1 − accuracy) + Fréchet distance to the class's data). Other rewards: `art_gym.envs.rewards.base.REWARDS`.

    ## Starting State
    x = σ_max ε. Each episode draws ε from the bank of training noises, and K from its range if it has one. The seed
    determines both. `reset(options={"noise": rows, "num_steps": K})` sets either of them.

    ## Episode End
    `terminated` after K steps. Never truncated.

    ## Info
    `reset` gives `num_steps` (K) and `sigma`. `step` gives `sigma`, `sigma_next` and `delta_log_sigma` of the step, and
    the components of the reward by name. The last step lands on 0, so it has no `delta_log_sigma`. It adds `error` and
    `error_reference`: the population's mean endpoint error and that of EDM's grid. Where each episode draws a model, it
    also adds `model`, the number of the one that was drawn.

    ## Arguments
    `config`: name of a YAML file in `envs_configs`, or of a task. Any key of `art_gym.envs.config.EnvConfig` overrides
    it, for instance `gym.make("ARTDiffusion-v0", task="ring_2d", solver="dpmpp_2m", num_steps=7)`. Use a discount of 1:
    the reward is terminal and the budget is fixed.

    ## Version History
    * v0: first version.
    """

    metadata = {"render_modes": Modes(["rgb_array", "human"]), "render_fps": 4}  # noqa: RUF012 Gymnasium's own type

    def __init__(self, config: str = "digits", render_mode: str | None = None, **overrides: Any) -> None:
        checked_mode("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        self.config = load_config(config, **overrides)
        self.core = self.config.make_core()
        self.render_mode = render_mode
        self.observation_space, self.action_space = spaces(self.core)
        bank = self.core.problem.bank
        self._episodes = Episodes.unseeded(bank, self.config.population, self.config.budgets, count=1)
        self._seeded = False
        self._np_random, self._np_random_seed = seeding.np_random(fresh_seed())
        self._state: State | None = None
        self._viewer: Any = None
        self._spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """The spec from which `gym.make` makes this environment again, also through JSON; None without `gym.make`."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = None if spec is None else completed(spec, self.config)

    @property
    def observation_names(self) -> tuple[str, ...]:
        """One name for each element of the observation."""
        return self.core.observation.names(self.core.max_steps)

    @property
    def state(self) -> State:
        """The present state (E = 1). Raises ResetNeeded before the first reset."""
        if self._state is None:
            raise ResetNeeded("call reset() before step() or render()")
        return self._state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observed, dict[str, Any]]:
        """Begin an episode. See the class for the options."""
        seed, options = checked_seed(seed), checked_options(options)
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self._episodes.seed(0, self.np_random)
            self._seeded = True
        noise, budget = self._episodes.begin(np.zeros(1, np.int64))
        rows, budget = pinned(options, noise[0], budget, self.core.problem.bank.size, self.config.budgets)
        self._state = self.core.denoise(self.core.start(rows[None], budget))
        if self.render_mode == "human":
            self.render()
        observed = lane_of(self.core.observe(self._state), 0)
        return observed, {"num_steps": int(budget[0]), "sigma": float(self._state.sigma[0])}

    def step(self, action: np.ndarray) -> tuple[Observed, float, bool, bool, dict[str, Any]]:
        """Take one denoising step.

        Raises:
            ValueError: for a NaN or an action of the wrong shape.
            ResetNeeded: after the end of an episode.
        """
        state = self.state
        if state.step[0] >= state.num_steps[0]:
            raise ResetNeeded("the episode has ended: call reset() before the next step()")
        moved, outcome = self.core.advance(state, checked_actions(action, (self.core.action_size,))[None])
        self._state = self.core.denoise(moved)
        info = {key: float(value[0]) for key, value in outcome.info.items() if value[0] == value[0]}  # without NaN
        if self.render_mode == "human":
            self.render()
        observed = lane_of(self.core.observe(self._state), 0)
        return observed, float(outcome.reward[0]), bool(outcome.landed[0]), False, info

    def render(self) -> np.ndarray | None:
        """Draw the samples, and the grid so far beside EDM's. Returns (H, W, 3) uint8 for "rgb_array".

        It draws D(x, σ), the samples after a step to 0 from here, because x itself is noisy until the end.
        """
        if self.render_mode is None:
            return None
        if self._viewer is None:
            from art_gym.envs.rendering import Viewer  # matplotlib takes longer to import than all the rest

            self._viewer = Viewer(self.core, show=self.render_mode == "human")
        frame = self._viewer.draw(self.state)
        return frame if self.render_mode == "rgb_array" else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_viewer": None}  # a figure is not part of the state and can be drawn again

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None
