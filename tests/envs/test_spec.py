"""The spec of an environment. Everything that `gym.make` accepts can be made again from its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import NormalizeReward, RescaleAction, TimeAwareObservation
from stable_baselines3.common.env_util import make_vec_env

from art_gym import FunctionDenoiser, register_task
from art_gym.common.parts import part_of, text_of
from art_gym.envs.actions.deviation import DeviationMap
from art_gym.envs.actions.fraction import FractionMap
from art_gym.envs.actions.speed import SpeedMap
from art_gym.envs.config import EnvConfig
from art_gym.envs.observations import Observation
from art_gym.envs.rewards.base import REWARDS
from art_gym.envs.rewards.distributions import DataDistance
from art_gym.envs.rewards.endpoints import LogRatio
from art_gym.envs.rewards.stiffness import Stiffness
from art_gym.envs.sb3 import ARTDiffusionVecEnv
from art_gym.solvers.base import SOLVERS
from art_gym.tasks.references import find_reference
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

ENV = "ARTDiffusion-Mixture1D-v0"


@dataclass(frozen=True)
class Twice:
    """A user's reward."""

    factor: float = 2.0
    name: str = "a=b?"

    def __call__(self, transition: Any, problem: Any) -> Any:
        return self.factor * transition.landed, {}


@dataclass
class Counting:
    """A user's reward that keeps a state."""

    calls: int = 0

    def __call__(self, transition: Any, problem: Any) -> Any:
        self.calls += 1
        return 1.0 * transition.landed, {}


def shrink(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    return x / (1 + sigma[:, None] ** 2)


def even(action: np.ndarray, sigma: np.ndarray, *_: Any) -> np.ndarray:
    return sigma / 2


GIVEN: dict[str, list[Any]] = {
    "task": ["ring_2d", "digits_class?guidance=3", get_task("ring_2d")],
    "solver": ["heun", SOLVERS["euler"]],
    "num_steps": [5, np.int64(5), (3, 9), [3, 9], (np.int32(3), np.int64(9))],
    "population": [2, np.uint8(2)],
    "action": ["deviation", "speed_log?sharpness=1", FractionMap(), FractionMap(2), SpeedMap("log", 1.5)],
    "reward": ["linear", "log_ratio?power=2", LogRatio(power=2), LogRatio(power=3), DataDistance("energy", 64)],
    "observation": ["time", ("time",), ["grid", "time"], Observation(("latents",)), Observation(("time",), raw=True)],
    "raw_latents": [True],
    "split": ["heldout"],
    "noises": [64, np.int16(64)],
}
GIVEN["action"] += [DeviationMap("edm", 0.5), even]
GIVEN["reward"] += [Stiffness(probe=0.01, dual=False), Twice(), Twice(3.0, "x")]


def test_every_key_of_the_configuration_is_tried() -> None:
    assert set(GIVEN) == {field.name for field in fields(EnvConfig)}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in GIVEN.items() for value in values])
def test_what_is_accepted_is_made_again_from_json(key: str, value: Any) -> None:
    single = gym.make(ENV, **{key: value})
    vector = gym.make_vec(ENV, num_envs=2, autoreset_mode=AutoresetMode.SAME_STEP, **{key: value})
    assert single.spec is not None
    assert vector.spec is not None
    again = gym.make(EnvSpec.from_json(single.spec.to_json()))
    lanes = gym.make_vec(EnvSpec.from_json(vector.spec.to_json()))
    assert again.unwrapped.config == single.unwrapped.config == vector.config == lanes.config  # type: ignore[attr-defined]
    assert lanes.num_envs == 2
    assert lanes.autoreset_mode is AutoresetMode.SAME_STEP
    first, second = single.reset(seed=5)[0], again.reset(seed=5)[0]
    for name in first if isinstance(first, dict) else [...]:
        np.testing.assert_array_equal(first[name], second[name])
    played = [env.step(np.full(1, 0.3, np.float32)) for env in (single, again)]
    assert played[0][1:] == played[1][1:]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ({"task": FunctionDenoiser(shrink, (1,))}, r"art_gym\.register_task\('name', it\) and pass task='name'"),
        ({"reward": lambda *_: None}, "give a function, or a frozen dataclass"),
        ({"reward": partial(even, 3)}, "give a function, or a frozen dataclass"),
        ({"reward": Counting()}, "give a function, or a frozen dataclass"),
        ({"action": Twice(np.ones(3))}, "give a function, or a frozen dataclass"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_written_is_refused_when_made(arguments: dict[str, Any], remedy: str) -> None:
    (key,) = arguments
    for make in (gym.make, partial(gym.make_vec, num_envs=2)):
        with pytest.raises(ValueError, match=f"{key}=.* has no text: {remedy}.*ARTDiffusionEnv") as said:
            make(ENV, **arguments)
        assert "\n" not in str(said.value)


def test_a_registered_object_is_known_by_its_name() -> None:
    mine = FunctionDenoiser(shrink, (1,))
    register_task("task_of_a_spec", mine)
    spec = gym.make("ARTDiffusion-v0", task=mine).spec
    assert spec is not None
    assert json.loads(spec.to_json())["kwargs"]["task"] == "task_of_a_spec"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log_ratio?powr=2", "unknown option 'powr' in 'log_ratio.powr=2': choose one of power, images"),
        ("log_ratio?power", "expected name=value after the question mark, got 'power'"),
        ("nope?power=2", "unknown reward 'nope.power=2'"),
        ("no_such_module:Reward", "cannot import 'no_such_module'"),
        ("my.py:Reward", "'my.py' is not a module name: write my:Reward"),
        ("art_gym.envs.rewards:Nope", "there is no 'Nope' in 'art_gym.envs.rewards'"),
        ("art_gym.envs.rewards.endpoints:LogRatio?a=1", "cannot make 'art_gym.envs.rewards.endpoints:LogRatio.a=1'"),
    ],
)
def test_texts_that_stand_for_nothing(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make(ENV, reward=text)


def test_texts_of_parts_are_short_and_exact() -> None:
    assert text_of(LogRatio(2), REWARDS) == "log_ratio_rms"
    assert text_of(LogRatio(4, images=True), REWARDS) == "log_ratio_images?power=4"
    assert part_of("log_ratio?images=true", REWARDS) == LogRatio(images=True)
    text = text_of(Twice(0.1, "1"), REWARDS)  # text that looks like a number could come back as a number
    assert text is None


def test_the_horizon() -> None:
    for arguments, horizon in (({}, 7), ({"num_steps": 5}, 5), ({"num_steps": (3, 9)}, 9)):
        env = gym.make(ENV, **arguments)
        assert env.spec is not None
        assert env.spec.max_episode_steps == horizon
        lanes = gym.make_vec(ENV, num_envs=2, **arguments)
        assert lanes.spec is not None
        assert lanes.spec.max_episode_steps == horizon
        timed = TimeAwareObservation(env)
        assert timed.observation_space.shape == (env.observation_space.shape[0] + 1,)  # type: ignore[index]


def test_the_spec_survives_wrappers() -> None:
    env = NormalizeReward(RescaleAction(gym.make(ENV, num_steps=5), np.float32(0), np.float32(1)))
    assert env.spec is not None
    assert env.spec.max_episode_steps == 5
    assert len(env.spec.additional_wrappers) == 2


def test_a_limit_of_steps_truncates_as_gymnasium_does() -> None:
    for mode in AutoresetMode:
        native = gym.make_vec(ENV, num_envs=3, max_episode_steps=4, num_steps=(2, 7), autoreset_mode=mode)
        other = gym.make_vec(ENV, 3, "sync", {"autoreset_mode": mode}, max_episode_steps=4, num_steps=(2, 7))
        mine, theirs = native.reset(seed=1)[0], other.reset(seed=1)[0]
        rng, cut = np.random.default_rng(0), 0
        for _ in range(20):
            np.testing.assert_array_equal(mine, theirs)
            action = rng.uniform(-1, 1, (3, 1)).astype(np.float32)
            mine, reward, terminated, truncated, info = native.step(action)
            theirs, *rest, their_info = other.step(action)
            np.testing.assert_allclose(reward, rest[0], rtol=1e-6)
            np.testing.assert_array_equal(terminated, rest[1])
            # TimeLimit also truncates an episode that lands in the very last step.
            np.testing.assert_array_equal(truncated, rest[2] & ~terminated)
            cut += truncated.sum()
            if mode == AutoresetMode.SAME_STEP and (terminated | truncated).any():
                for lane in np.flatnonzero(terminated | truncated):
                    np.testing.assert_array_equal(info["final_obs"][lane], their_info["final_obs"][lane])
            if mode == AutoresetMode.DISABLED and (mask := terminated | truncated).any():
                mine, theirs = (env.reset(options={"reset_mask": mask})[0] for env in (native, other))
        assert cut >= 5


def test_a_limit_is_a_truncation_for_stable_baselines3() -> None:
    env = ARTDiffusionVecEnv(2, "mixture_1d", num_steps=3, max_episode_steps=2)
    env.reset()
    env.step(np.zeros((2, 1), np.float32))
    _, rewards, dones, infos = env.step(np.zeros((2, 1), np.float32))
    assert dones.all()
    assert not rewards.any()
    assert all(info["TimeLimit.truncated"] and "terminal_observation" in info for info in infos)


@pytest.mark.parametrize("limit", [0, -2, 2.5, True, "3"])
def test_limits_that_are_none(limit: Any) -> None:
    with pytest.raises(ValueError, match="max_episode_steps must be a whole number of at least 1"):
        gym.make_vec(ENV, num_envs=2, max_episode_steps=limit)


def test_the_reward_that_counts_as_solved() -> None:
    reference = find_reference(Target.of("mixture_1d", "dpmpp_2m"), 7)
    assert reference is not None
    whole = np.log(reference.edm_error / reference.oracle_error)
    thresholds = {}
    for reward in ("log_ratio", "linear", "path"):
        spec = gym.make(ENV, reward=reward).spec
        assert spec is not None
        thresholds[reward] = spec.reward_threshold
    assert thresholds["log_ratio"] == pytest.approx(0.95 * whole)
    assert thresholds["linear"] == pytest.approx(1 - np.exp(-0.95 * whole))
    assert thresholds["path"] is None
    ranged = gym.make(ENV, num_steps=(5, 7)).spec
    assert ranged is not None
    assert ranged.reward_threshold is None


def test_seeds_of_lanes_are_a_tuple_before_the_first_reset_too() -> None:
    native, other = gym.make_vec(ENV, num_envs=3), gym.make_vec(ENV, 3, "sync")
    for env in (native, other):
        seeds = env.np_random_seed
        assert isinstance(seeds, tuple)
        assert len(seeds) == 3
        first, _ = env.reset()  # it takes these
        assert env.np_random_seed == seeds
        again, _ = gym.make_vec(ENV, num_envs=3).reset(seed=list(seeds))
        np.testing.assert_array_equal(first, again)
        env.reset(seed=4)
        assert env.np_random_seed == (4, 5, 6)
        env.reset(seed=[7, None, 9])
        assert env.np_random_seed == (7, 5, 9)
    assert [mine.random() for mine in native.np_random] == [theirs.random() for theirs in other.np_random]  # type: ignore[attr-defined]
    partly = gym.make_vec(ENV, num_envs=2)
    partly.reset(seed=[3, None])
    assert partly.np_random_seed[0] == 3
    assert isinstance(partly.np_random_seed[1], int)


def test_stable_baselines3_s_helper_is_told_the_right_call() -> None:
    with pytest.raises(ValueError, match=r"makes all lanes itself.*ARTDiffusionVecEnv\(4, 'ring_2d'\)"):
        make_vec_env(ENV, n_envs=2, vec_env_cls=ARTDiffusionVecEnv)  # type: ignore[arg-type]


MODULE = """
import art_gym
art_gym.register_task("mine", art_gym.FunctionDenoiser(lambda x, sigma: x / (1 + sigma[:, None] ** 2), (2,)))
"""
SPAWNED = """
import gymnasium as gym

if __name__ == "__main__":
    env = gym.make("art_gym:ARTDiffusion-v0", task="my_tasks:mine", num_steps=2)
    assert env.unwrapped.config.task == "mine" and env.observation_space.contains(env.reset(seed=0)[0])
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    lanes = gym.make_vec("ARTDiffusion-v0", 2, "async", {"context": "spawn"}, task="my_tasks:mine", num_steps=2)
    print((lanes.reset(seed=0)[0][0] == env.reset(seed=0)[0]).all(), env.spec.kwargs["task"])
    lanes.close()
"""


def test_a_module_of_tasks_is_imported_by_gym_make_and_in_its_workers(tmp_path: Path) -> None:
    (tmp_path / "my_tasks.py").write_text(MODULE)
    (tmp_path / "main.py").write_text(SPAWNED)
    command = [sys.executable, "main.py"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120)
    assert result.stdout == "True my_tasks:mine\n", result.stderr
