"""The vector environment as stable-baselines3's `VecEnv`: no processes, no copies, one denoiser call for all lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv

from art_gym.envs.observations import Observed
from art_gym.envs.vector_env import ARTDiffusionVectorEnv


class ARTDiffusionVecEnv(VecEnv):
    """`ARTDiffusionVectorEnv` for SB3: ``PPO("MlpPolicy", ARTDiffusionVecEnv(16, config="ring_2d"))``.

    A lane that ends is reset in the same step. Its info has ``terminal_observation`` and ``TimeLimit.truncated``, as
    SB3 expects.

    Args:
        num_envs: lanes.
        config, overrides: as for `art_gym.envs.env.ARTDiffusionEnv`.
    """

    def __init__(self, num_envs: int, config: str = "digits", render_mode: str | None = None, **overrides: Any) -> None:
        self.env = ARTDiffusionVectorEnv(
            num_envs, config, autoreset_mode=AutoresetMode.SAME_STEP, render_mode=render_mode, **overrides
        )
        self.render_mode = render_mode  # VecEnv's constructor reads it through get_attr
        super().__init__(num_envs, self.env.single_observation_space, self.env.single_action_space)
        self._actions = np.zeros((num_envs, self.env.core.action_size), np.float32)

    def reset(self) -> Observed:
        """Begin episodes in all lanes, with the seeds and options from `seed` and `set_options` since the last reset.

        One dictionary holds options of the vector environment. A list holds options of the single environment, a
        dictionary for each lane.
        """
        seeds = list(self._seeds) if any(seed is not None for seed in self._seeds) else None
        options = self._options
        self._reset_seeds()
        self._reset_options()  # even if the options are wrong
        observation, info = self.env.reset(seed=seeds, options=_together(options))
        self.reset_infos = [_of_reset(info, lane) for lane in range(self.num_envs)]
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Observed, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step all lanes. Returns observations, float32 rewards, dones and an info dictionary for each lane.

        The info is that of the single environment: the physical step and the components of the reward.
        """
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(cut)} for cut in truncated]
        for values, lanes in ((info, ~done), (info.get("final_info", {}), done)):
            for key, numbers in values.items():
                if not key.startswith(("_", "final_")):
                    for lane in np.nonzero(values[f"_{key}"] & lanes)[0]:
                        infos[lane][key] = float(numbers[lane])
        for lane in np.nonzero(done)[0]:
            infos[lane]["terminal_observation"] = info["final_obs"][lane]
            self.reset_infos[lane] = _of_reset(info, int(lane))
        return observation, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One picture for each lane; None without a render mode."""
        return self.env.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute of the environment, once for each lane."""
        # Of these, self has the value of a single lane.
        owner = self if attr_name in ("render_mode", "observation_space", "action_space") else self.env
        return [getattr(owner, attr_name)] * len(self._lanes(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the environment. Lanes share it, so set it for all."""
        if len(self._lanes(indices)) < self.num_envs:
            raise ValueError(f"lanes share {attr_name!r}: set it for all of them")
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method of the environment once. Its result counts for every lane, so call it for all."""
        if len(self._lanes(indices)) < self.num_envs:
            raise ValueError(f"lanes share {method_name!r}: call it for all of them")
        return [getattr(self.env, method_name)(*args, **kwargs)] * len(self._lanes(indices))

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Always False: nothing is wrapped."""
        return [False] * len(self._lanes(indices))

    def _lanes(self, indices: Any) -> list[int]:
        return list(self._get_indices(indices)) if self.__dict__.get("num_envs") else [0]


def _of_reset(info: dict[str, Any], lane: int) -> dict[str, Any]:
    """The info of a lane's reset, as the single environment gives it."""
    return {"num_steps": int(info["num_steps"][lane]), "sigma": float(info["sigma"][lane])}


def _together(options: list[dict[str, Any]]) -> dict[str, Any]:
    """One dictionary for all lanes. Raises a ValueError if lanes have different keys."""
    first, *others = options
    if all(each is first for each in others):  # SB3 gives one dictionary to every lane
        return first
    if any(each.keys() != first.keys() for each in others):
        raise ValueError(f"options must have the same keys in every lane, got {[list(each) for each in options]}")
    return {key: np.stack([each[key] for each in options]) for key in first}
