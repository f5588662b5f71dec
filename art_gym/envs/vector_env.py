"""The native vector environment: the same core at E = n, with one denoiser call per step for all environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from art_gym.common.limits import MAX_ENVS, check_elements, check_whole
from art_gym.common.messages import short
from art_gym.envs.checks import Modes, checked_actions, checked_mode, checked_options, checked_seed, fresh_seed
from art_gym.envs.config import load_config
from art_gym.envs.core import Outcome
from art_gym.envs.env import ARTDiffusionEnv, spaces
from art_gym.envs.episodes import Episodes, pinned
from art_gym.envs.observations import Observed, lane_of
from art_gym.envs.spec import completed
from art_gym.envs.state import State

Info = dict[str, Any]


class ARTDiffusionVectorEnv(VectorEnv[Observed, np.ndarray, np.ndarray]):
    """n of `ARTDiffusionEnv` at once. Make it with ``gym.make_vec("ARTDiffusion-v0", num_envs=n)``.

    ``reset(seed=s)`` seeds lane i with s + i. The lane then plays the episodes of a single environment with that seed.

    Args:
        num_envs: n.
        config, overrides: as for `ARTDiffusionEnv`.
        autoreset_mode: NEXT_STEP (default), SAME_STEP or DISABLED, as in Gymnasium. With DISABLED, lanes that have
            ended are reset by ``reset(options={"reset_mask": mask})``.
        render_mode: "rgb_array" gives one picture for each lane.
        max_episode_steps: steps after which an episode that has not landed is truncated; None for no limit.
    """

    metadata = {**ARTDiffusionEnv.metadata, "render_modes": Modes(["rgb_array"])}  # noqa: RUF012 Gymnasium's own type

    def __init__(
        self,
        num_envs: int = 1,
        config: str = "digits",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **overrides: Any,
    ) -> None:
        if _makes_environments(num_envs):
            raise ValueError(
                "num_envs must be a number, got functions that make environments: this class makes all lanes itself "
                "and replaces make_vec_env, so use ARTDiffusionVecEnv(4, 'ring_2d') of art_gym.envs.sb3 for four lanes"
            )
        self.num_envs = check_whole("num_envs", num_envs, 1, MAX_ENVS)
        checked_mode("render_mode of a vector environment", render_mode, (None, "rgb_array"))
        self.config = load_config(config, **overrides)
        self.core = self.config.make_core()
        population, shape = self.config.population, self.core.problem.denoiser.shape
        check_elements(f"num_envs={num_envs} with population={population}", self.num_envs, population, *shape)
        if not isinstance(autoreset_mode, AutoresetMode):
            checked_mode("autoreset_mode", autoreset_mode, [mode.value for mode in AutoresetMode])
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        self.max_episode_steps = _checked_limit(max_episode_steps)
        self.single_observation_space, self.single_action_space = spaces(self.core)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        bank = self.core.problem.bank
        self._episodes = Episodes.unseeded(bank, self.config.population, self.config.budgets, num_envs)
        self._generators: dict[int, np.random.Generator] = {}  # one for each lane, once seeded
        self._seeds: dict[int, int] = {}
        self._spec: EnvSpec | None = None
        self._state: State | None = None
        self._ended = np.zeros(num_envs, bool)
        self._viewer: Any = None

    @property
    def spec(self) -> EnvSpec | None:
        """As for the single environment."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = None if spec is None else completed(spec, self.config)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each lane. Seeds that were not given are drawn now."""
        self._seed(None, np.arange(self.num_envs))
        return tuple(self._seeds[lane] for lane in range(self.num_envs))

    @property  # type: ignore[misc]  # nobody sets it here
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each lane."""
        self._seed(None, np.arange(self.num_envs))
        return tuple(self._generators[lane] for lane in range(self.num_envs))

    @property
    def observation_names(self) -> tuple[str, ...]:
        """One name for each element of a lane's observation."""
        return self.core.observation.names(self.core.max_steps)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observed, Info]:
        """Begin episodes in all lanes, or in those of ``options["reset_mask"]``.

        The options "noise" and "num_steps" are as in `ARTDiffusionEnv.reset`, as arrays over the lanes to reset.
        """
        options = checked_options(options)
        mask = self._checked_mask(options.pop("reset_mask", None))
        (lanes,) = np.nonzero(mask)
        self._seed(seed, lanes)
        noise, budget = self._episodes.begin(lanes)
        noise, budget = pinned(options, noise, budget, self.core.problem.bank.size, self.config.budgets)
        fresh = self.core.denoise(self.core.start(noise, budget))
        self._state = fresh if mask.all() or self._state is None else self._state.put(lanes, fresh)
        self._ended &= ~mask
        started = {"num_steps": self._state.num_steps, "sigma": self._state.sigma}
        return self.core.observe(self._state), _masked(started, mask)

    def step(self, actions: np.ndarray) -> tuple[Observed, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Take one denoising step in every lane. Lanes that ended are reset as the autoreset mode says.

        Raises:
            ValueError: for a NaN or actions of the wrong shape.
            ResetNeeded: before the first reset, or for ended lanes when autoreset is disabled.
        """
        state = self._checked_state()
        action = checked_actions(actions, (self.num_envs, self.core.action_size))
        restart = self._ended  # with NEXT_STEP, lanes that ended in the last step spend this one on their reset
        moved, outcome = self._advance(state, action, ~restart)
        info = _masked(outcome.info, ~restart)
        truncated = self._truncated(moved, outcome.landed | restart)
        ended = outcome.landed | truncated
        at_once = self.autoreset_mode == AutoresetMode.SAME_STEP and bool(ended.any())
        if at_once:
            info = self._final(moved, outcome, ended)
            restart = ended
        if restart.any():
            (lanes,) = np.nonzero(restart)
            fresh = self.core.start(*self._episodes.begin(lanes))
            moved = fresh if restart.all() else moved.put(lanes, fresh)
            info = _merged(info, _masked({"num_steps": moved.num_steps, "sigma": moved.sigma}, restart))
        self._state = self.core.denoise(moved)
        self._ended = np.zeros_like(ended) if at_once else ended
        return self.core.observe(self._state), outcome.reward, outcome.landed.copy(), truncated, info

    def render(self) -> tuple[np.ndarray, ...] | None:
        """One (H, W, 3) uint8 picture for each lane."""
        if self.render_mode is None:
            return None
        if self._viewer is None:
            from art_gym.envs.rendering import Viewer  # matplotlib takes longer to import than all the rest

            self._viewer = Viewer(self.core, show=False)
        state = self._checked_state(allow_ended=True)
        return tuple(self._viewer.draw(state.take(np.array([lane]))) for lane in range(self.num_envs))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_viewer": None}  # a figure is not part of the state and can be drawn again

    def close_extras(self, **kwargs: Any) -> None:
        """Free the figure."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    def _advance(self, state: State, action: np.ndarray, acting: np.ndarray) -> tuple[State, Outcome]:
        if acting.all():
            return self.core.advance(state, action)
        if not acting.any():
            return state, Outcome(np.zeros(self.num_envs), np.zeros(self.num_envs, bool), {})
        moved, part = self.core.advance(state.take(acting), action[acting])
        return state.put(acting, moved), Outcome(
            reward=_spread(part.reward, acting, 0.0),
            landed=_spread(part.landed, acting, False),
            info={key: _spread(value, acting, np.nan) for key, value in part.info.items()},
        )

    def _truncated(self, moved: State, others: np.ndarray) -> np.ndarray:
        """(n,) whether a lane is at the step limit, without the ``others`` that landed or begin a new episode."""
        if self.max_episode_steps is None:
            return np.zeros(self.num_envs, bool)
        truncated: np.ndarray = (moved.step >= self.max_episode_steps) & ~others
        return truncated

    def _final(self, moved: State, outcome: Outcome, ended: np.ndarray) -> Info:
        """Gymnasium's ``final_obs`` and ``final_info`` of lanes that ended, and the usual infos of the others."""
        final = self.core.observe(self.core.denoise(moved.take(ended)))
        observations = np.full(self.num_envs, None, object)
        for index, lane in enumerate(np.nonzero(ended)[0]):
            observations[lane] = lane_of(final, index)
        return {
            **_masked(outcome.info, ~ended),
            "final_obs": observations,
            "_final_obs": ended.copy(),
            "final_info": _masked(outcome.info, ended),
            "_final_info": ended.copy(),
        }

    def _seed(self, seed: int | Sequence[int | None] | None, lanes: np.ndarray) -> None:
        """Seed these lanes, or all lanes the first time. Without a new seed a seeded lane goes on."""
        first = not self._seeds
        if seed is None and not first:
            return
        seeds = self._checked_seeds(seed)
        for lane in range(self.num_envs) if first else lanes:
            if first or seeds[lane] is not None:
                seed = seeds[lane]
                self._generators[lane], self._seeds[lane] = seeding.np_random(fresh_seed() if seed is None else seed)
                self._episodes.seed(lane, self._generators[lane])

    def _checked_seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """One seed for each lane, None for a lane without one."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            seeds: list[Any] = [int(checked_seed(seed) or 0) + lane for lane in range(self.num_envs)]
        elif isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str):
            seeds = list(seed)
        else:
            raise ValueError(f"seed must be a whole number, one for each lane, or None, got {short(seed)}")
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} lanes need as many seeds, got {len(seeds)}")
        return [checked_seed(one) for one in seeds]

    def _checked_mask(self, mask: np.ndarray | None) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, bool)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"reset_mask must be a boolean array of shape ({self.num_envs},), got {short(mask)}")
        if not mask.any():
            raise ValueError("reset_mask must name at least one lane to reset, all are False")
        if self._state is None and not mask.all():
            raise ResetNeeded("reset() all lanes once before resetting some by a mask")
        return mask

    def _checked_state(self, allow_ended: bool = False) -> State:
        if self._state is None:
            raise ResetNeeded("call reset() before step() or render()")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any() and not allow_ended:
            raise ResetNeeded(
                f"lanes {np.nonzero(self._ended)[0].tolist()} have ended and autoreset is disabled: "
                f"call reset(options={{'reset_mask': mask}}) first"
            )
        return self._state


def _makes_environments(num_envs: Any) -> bool:
    """Whether this is the argument that stable-baselines3's make_vec_env gives to its ``vec_env_cls``."""
    return isinstance(num_envs, list) and bool(num_envs) and all(callable(each) for each in num_envs)


def _checked_limit(limit: Any) -> int | None:
    """A number of steps, or None for no limit. Gymnasium also writes −1 for that."""
    if limit is None or limit == -1:
        return None
    if not isinstance(limit, int | np.integer) or isinstance(limit, bool) or limit < 1:
        said = f"must be a whole number of at least 1, or None for no limit, got {short(limit)}"
        raise ValueError(f"max_episode_steps {said}")
    return int(limit)


def _spread(part: np.ndarray, lanes: np.ndarray, elsewhere: Any) -> np.ndarray:
    """(E,) with ``part`` in some lanes and one value elsewhere."""
    whole = np.full(len(lanes), elsewhere, part.dtype)
    whole[lanes] = part
    return whole


def _masked(info: dict[str, np.ndarray], lanes: np.ndarray) -> Info:
    """Gymnasium's vector info: 0 and a False in ``_key`` where a lane has no value (NaN)."""
    result: Info = {}
    for key, value in info.items():
        present = lanes & (value == value)
        if present.any():
            result[key] = np.where(present, value, 0)
            result[f"_{key}"] = present
    return result


def _merged(first: Info, second: Info) -> Info:
    """Merge two vector infos about different lanes."""
    merged = dict(first)
    for key, value in second.items():
        if key in merged:
            merged[key] = merged[key] | value if key.startswith("_") else merged[key] + value  # disjoint lanes
        else:
            merged[key] = value
    return merged
