"""Hyperparameters: YAML keyed by environment id, as in rl-baselines3-zoo, made ready for an SB3 class."""

from __future__ import annotations

import inspect
import re
import warnings
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import yaml

from art_gym.common.messages import short
from art_gym.common.reading import parse_yaml
from art_gym.envs.ids import variant_id

from ..algorithms.base import ALGORITHMS, algorithm_class

Values = dict[str, Any]


def load_hyperparams(algo: str, env_id: str | None, num_steps: int) -> Values:
    """The shipped values for an algorithm and an environment, with "4K" resolved for K = num_steps.

    An id without an entry gets the one of its variant without the task, such as ARTDiffusion-Sampler-v0. Others, and
    None, get the entry "default".

    An algorithm without a file gets its registered recipe. Without a recipe it gets the defaults of its SB3 class, a
    discount of 1, 16 environments and, if it learns from rollouts, rollouts of four episodes. TD3 and DDPG also get
    noise on their actions.
    """
    file = resources.files("art_gym.envs_configs").joinpath(f"hyperparams/{algo}.yaml")
    if not file.is_file():
        recipe = ALGORITHMS[algo].recipe if algo in ALGORITHMS else None
        return (
            _defaults(algorithm_class(algo), num_steps) if recipe is None else resolve_numbers(dict(recipe), num_steps)
        )
    by_id = yaml.safe_load(file.read_text(encoding="utf-8"))
    known = (name for name in (env_id, variant_id(env_id or "")) if name in by_id)
    return resolve_numbers(by_id[next(known, "default")], num_steps)


def _defaults(kind: type, num_steps: int) -> Values:
    from stable_baselines3 import DDPG, TD3
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

    aliases = kind.policy_aliases  # type: ignore[attr-defined]
    values = {"num_envs": 16, "policy": "MlpPolicy" if "MlpPolicy" in aliases else next(iter(aliases))}
    if issubclass(kind, OnPolicyAlgorithm):
        values |= {"n_timesteps": 25000 * num_steps, "n_steps": 4 * num_steps}
    else:
        values |= {"n_timesteps": 2000 * num_steps}
    if kind in (TD3, DDPG):  # their policies do not explore by themselves
        values |= {"noise_type": "normal", "noise_std": 0.1}
    return values | ({"gamma": 1.0} if "gamma" in inspect.signature(kind).parameters else {})


def resolve_numbers(values: Values, num_steps: int) -> Values:
    """Turn "4K" into 4 · num_steps, "1e-3" (a string to YAML) into a number and "lin_1e-3" into a falling schedule.

    It also reads text as YAML, such as "false", "null" and "[64, 64]".
    """

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: resolved(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [resolved(entry) for entry in value]
        if not isinstance(value, str):
            return value
        if match := re.fullmatch(r"(\d{1,9})K", value):
            return int(match[1]) * num_steps
        if match := re.fullmatch(r"lin_(\d[\d.]*(?:e[+-]?\d+)?)", value):
            return Linear(float(match[1]))
        for number in (int, float):
            try:
                return number(value)
            except ValueError:
                continue
        try:
            meant = parse_yaml(value)
        except ValueError:
            return value
        return resolved(meant) if meant is None or isinstance(meant, bool | list | dict) else value

    made: dict[str, Any] = resolved(values)
    return made


def overridden(values: Values, changes: Values) -> Values:
    """Values with changes applied. "policy_kwargs.budget", or a dictionary, changes single keys of a dictionary."""
    result = dict(values)
    for key, change in changes.items():
        key, _, rest = key.partition(".")
        change = {rest: change} if rest else change
        if isinstance(change, dict):
            before = result.get(key)
            change = overridden(before if isinstance(before, dict) else {}, change)
        result[key] = change
    return result


def as_objects(values: Values) -> Values:
    """Replace names in the values with the objects that SB3 takes.

    They are rl-baselines3-zoo's "noise_type" and "noise_std" for the noise on the actions, and "activation_fn" in
    "policy_kwargs", the name of a class of torch.nn such as ReLU.

    Raises:
        ValueError: for an unknown name, or an invalid standard deviation.
    """
    from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise

    kinds = {"normal": NormalActionNoise, "ornstein-uhlenbeck": OrnsteinUhlenbeckActionNoise}
    result = {key: value for key, value in values.items() if key not in ("noise_type", "noise_std")}
    policy = result.get("policy_kwargs")
    if isinstance(policy, dict) and isinstance(activation := policy.get("activation_fn"), str):
        result["policy_kwargs"] = {**policy, "activation_fn": _activation(activation)}
    name, deviation = values.get("noise_type"), values.get("noise_std", 0.1)
    if name is None:
        if "noise_std" in values and "noise_type" not in values:
            raise ValueError(f"noise_std needs a noise_type: choose one of {', '.join(kinds)}")
        return result
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"unknown noise_type {short(name)}: choose one of {', '.join(kinds)}, or null for none")
    if not isinstance(deviation, int | float) or not 0 < deviation < np.inf:
        raise ValueError(f"noise_std must be a positive number, got {short(deviation)}")
    return {**result, "action_noise": kinds[name](np.zeros(1), np.full(1, float(deviation)))}


def _activation(name: str) -> Any:
    """The class of torch.nn. Raises a ValueError unless it maps numbers to as many, without arguments."""
    import torch

    found = getattr(torch.nn.modules.activation, name, None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Softmax guesses an axis
            fits = found().forward(torch.zeros(2, 4)).shape == (2, 4)  # type: ignore[misc]
    except Exception:  # it takes arguments, or is no class
        fits = False
    if not fits:
        raise ValueError(f"activation_fn must be the name of an activation of torch.nn such as ReLU, got {short(name)}")
    return found


@dataclass(frozen=True)
class WarmStart:
    """What a warm start may take, and the values that it then changes.

    Attributes:
        share: of the episodes, for a search for a schedule; 0 for none.
        evaluations: of the denoiser for each K on average, for a search for a sampler; 0 for none.
        instant: begin with instant schedules, and then with no search.
        changes: of the hyperparameters.
    """

    share: float
    evaluations: float
    instant: bool
    changes: Values


def warm_start_of(values: Values) -> WarmStart:
    """The warm start that hyperparameters ask for.

    Raises:
        ValueError: for an invalid share, number of evaluations or switch.
    """
    warm = values.get("warm_start") or {}
    share, evaluations = (warm.get(key, 0) if isinstance(warm, dict) else None for key in ("share", "evaluations"))
    if not isinstance(share, int | float) or not 0 <= share < 1:
        raise ValueError(
            f"warm_start.share must be a share of the episodes, at least 0 and below 1, got {short(warm)}: "
            f"warm_start 0 leaves the warm start out"
        )
    if not isinstance(evaluations, int | float) or not 0 <= evaluations < np.inf:
        raise ValueError(
            f"warm_start.evaluations must be a number of denoiser evaluations for each K, got {short(evaluations)}: "
            f"warm_start 0 leaves the warm start out"
        )
    instant = bool(warm) and warm.get("instant", False)
    if not isinstance(instant, bool):
        raise ValueError(f"warm_start.instant must be true or false, got {instant!r}: warm_start 0 leaves it out")
    changes = {key: value for key, value in warm.items() if key not in ("share", "evaluations", "instant")}
    return WarmStart(0, 0, True, changes) if instant else WarmStart(share, evaluations, False, changes)


@dataclass(frozen=True)
class Linear:
    """A learning rate that falls linearly from ``initial`` to 0. SB3 calls it with the remaining progress."""

    initial: float

    def __call__(self, progress_remaining: float) -> float:
        return progress_remaining * self.initial

    def __repr__(self) -> str:  # as in the YAML, so that a run's resolved configuration is readable
        return f"lin_{self.initial:g}"


def clock_buffer(kind: type, rate: float) -> Values:
    """Arguments that make an SB3 algorithm discount by e^{−rate·Δ} over elapsed clock time instead of by γ per step.

    Raises:
        ValueError: for an algorithm that is neither PPO nor off-policy.
    """
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
    from stable_baselines3.ppo import PPO

    from ..continuous_time.discount import ClockReplayBuffer, ClockRolloutBuffer

    if issubclass(kind, OffPolicyAlgorithm):
        return {"replay_buffer_class": ClockReplayBuffer, "replay_buffer_kwargs": {"rate": rate}, "n_steps": 1}
    if issubclass(kind, PPO):
        return {"rollout_buffer_class": ClockRolloutBuffer, "rollout_buffer_kwargs": {"rate": rate}}
    raise ValueError(f"clock_discount is for PPO and off-policy algorithms such as SAC, not for {kind.__name__}")
