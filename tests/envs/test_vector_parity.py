"""One vector environment with N lanes equals N single environments, in every autoreset mode, including infos."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

import art_gym  # noqa: F401 registers the ids
from art_gym.envs.observations import LATENTS

IDS = sorted(name for name in gym.registry if name.startswith("ARTDiffusion-") and name != "ARTDiffusion-v0")
DEFAULT = "ARTDiffusion-Mixture1D-v0"
LANES = 3
# A denoiser rounds a little differently for another batch size (BLAS), and the dynamics amplify that.
TOLERANCE = 2e-4
pytestmark = pytest.mark.filterwarnings("error")


def both(env_id: str, mode: AutoresetMode, **arguments: Any) -> tuple[VectorEnv, VectorEnv]:
    """Gymnasium's vector environment of single ones, and ours."""
    singles = SyncVectorEnv([lambda: gym.make(env_id, **arguments)] * LANES, autoreset_mode=mode)
    ours = gym.make_vec(env_id, num_envs=LANES, autoreset_mode=mode, **arguments)
    return singles, ours


def tolerance(shape: tuple[int, ...]) -> float | np.ndarray:
    """The tolerance of each element. The logarithm of a change of 10⁻⁶ is mostly rounding."""
    if shape[-1] <= LANES:
        return TOLERANCE
    elements = np.full(shape[-1], TOLERANCE)  # an observation ends with the statistics of the latents
    elements[LATENTS.index("log_denoised_change") - len(LATENTS)] = 0.02
    return elements


def assert_same(theirs: Any, ours: Any, where: str) -> None:
    """Equal structure, masks and types; numbers within the tolerance."""
    if isinstance(theirs, dict):
        assert theirs.keys() == ours.keys(), f"{where}: {theirs.keys()} and {ours.keys()}"
        for key in theirs:
            assert_same(theirs[key], ours[key], f"{where}[{key!r}]")
    elif theirs.dtype == object:
        assert ours.dtype == object
        for lane, (a, b) in enumerate(zip(theirs, ours, strict=True)):
            assert (a is None) == (b is None), f"{where} lane {lane}"
            if a is not None:
                assert_same(a, b, f"{where} lane {lane}")
    else:
        assert (theirs.dtype, theirs.shape) == (ours.dtype, ours.shape), where
        if theirs.dtype == bool or np.issubdtype(theirs.dtype, np.integer):
            np.testing.assert_array_equal(theirs, ours, err_msg=where)
        else:
            close = np.isclose(theirs, ours, rtol=TOLERANCE, atol=tolerance(theirs.shape))
            assert close.all(), f"{where}: {theirs[~close]} and {ours[~close]} at {np.nonzero(~close)}"


def assert_same_results(theirs: tuple, ours: tuple, where: str) -> None:
    names = ("observation", "reward", "terminated", "truncated", "info")
    names = names if len(theirs) == 5 else ("observation", "info")
    for name, a, b in zip(names, theirs, ours, strict=True):
        assert_same(a, b, f"{where}: {name}")


def play(singles: VectorEnv, ours: VectorEnv, steps: int, mode: AutoresetMode) -> int:
    """Compare every result of some steps; returns how many episodes ended."""
    rng = np.random.default_rng(0)
    assert_same_results(singles.reset(seed=11), ours.reset(seed=11), "reset")
    ended = 0
    for step in range(steps):
        actions = rng.uniform(-1, 1, ours.action_space.shape).astype(np.float32)
        theirs, mine = singles.step(actions), ours.step(actions)
        assert_same_results(theirs, mine, f"step {step}")
        done = mine[2]
        ended += done.sum()
        if mode == AutoresetMode.DISABLED and done.any():
            results = [env.reset(options={"reset_mask": done.copy()}) for env in (singles, ours)]
            assert_same_results(*results, f"reset after step {step}")
    return ended


@pytest.mark.parametrize("population", [1, 4])
@pytest.mark.parametrize("num_steps", [4, (3, 6)], ids=["fixed", "mixed"])
@pytest.mark.parametrize("mode", AutoresetMode, ids=lambda mode: mode.name)
@pytest.mark.parametrize("env_id", IDS)
def test_parity(env_id: str, mode: AutoresetMode, num_steps: Any, population: int) -> None:
    singles, ours = both(env_id, mode, num_steps=num_steps, population=population)
    assert ours.metadata["autoreset_mode"] == mode
    assert singles.observation_space == ours.observation_space
    assert singles.action_space == ours.action_space
    assert play(singles, ours, 16, mode) >= 2 * LANES


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
@pytest.mark.parametrize("reward", ["path", "sliced_data", "stiffness"])
def test_parity_of_other_solvers_and_rewards(solver: str, reward: str) -> None:
    mode = AutoresetMode.NEXT_STEP
    singles, ours = both(DEFAULT, mode, num_steps=(2, 4), population=4, solver=solver, reward=reward)
    assert play(singles, ours, 12, mode) > 0


@pytest.mark.parametrize("action", ["deviation", "speed_arctan"])
def test_parity_of_other_action_maps(action: str) -> None:
    mode = AutoresetMode.SAME_STEP
    singles, ours = both(DEFAULT, mode, num_steps=(2, 4), population=4, action=action)
    assert play(singles, ours, 12, mode) > 0


def test_a_seed_for_each_lane() -> None:
    singles, ours = both(DEFAULT, AutoresetMode.NEXT_STEP, population=2)
    assert_same_results(singles.reset(seed=[5, 9, 5]), ours.reset(seed=[5, 9, 5]), "reset")
    assert ours.np_random_seed == singles.np_random_seed == (5, 9, 5)
    observation, _ = ours.reset(seed=[5, 9, 5])
    np.testing.assert_array_equal(observation[0], observation[2])
    for seed in (None, [None, 3, None]):
        assert_same_results(singles.reset(seed=seed), ours.reset(seed=seed), f"reset(seed={seed})")
    assert ours.np_random_seed == singles.np_random_seed == (5, 3, 5)
    with pytest.raises(ValueError, match="3 lanes need as many seeds, got 2"):
        ours.reset(seed=[1, 2])
    for wrong in (1.5, "abc"):
        with pytest.raises(ValueError, match=f"seed must be a whole number, one for each lane, or None, got {wrong!r}"):
            ours.reset(seed=wrong)
    for wrong in (-1, 1.5, "a"):
        with pytest.raises(ValueError, match=f"a seed must be a whole number of at least 0 and below 2.*got {wrong!r}"):
            ours.reset(seed=[0, wrong, 1])


def test_arrays_are_fresh() -> None:
    env = gym.make_vec(DEFAULT, num_envs=LANES, num_steps=2)
    observation, info = env.reset(seed=0)
    kept = [observation, info["num_steps"], info["sigma"]]
    for _ in range(5):
        observation, reward, terminated, truncated, info = env.step(np.zeros((LANES, 1), np.float32))
        kept += [observation, reward, terminated, truncated, info["sigma"]]
    copies = [array.copy() for array in kept]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(kept) for b in kept[:i])
    for array in kept:
        array[...] = 0  # what the caller does to its arrays must not affect the environment
    env.step(np.zeros((LANES, 1), np.float32))
    assert all(array.shape == copy.shape and not array.any() for array, copy in zip(kept, copies, strict=True))


def test_writing_to_results_does_not_change_the_episode() -> None:
    envs = [gym.make_vec(DEFAULT, num_envs=LANES, num_steps=(2, 4)) for _ in range(2)]
    results = [env.reset(seed=0) for env in envs]
    for _ in range(8):
        for array in (*results[1][:-1], *results[1][-1].values()):
            if isinstance(array, np.ndarray):
                array[...] = 0
        results = [env.step(np.full((LANES, 1), 0.3, np.float32)) for env in envs]
        for a, b in zip(results[0][:-1], results[1][:-1], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
def test_one_denoiser_call_for_all_lanes(solver: str) -> None:
    env = gym.make_vec(DEFAULT, num_envs=8, population=4, num_steps=(3, 5), solver=solver)
    counter = env.core.problem.denoise
    env.reset(seed=0)
    assert (counter.calls, counter.evaluations) == (1, 32)
    for step in range(12):
        env.step(np.zeros((8, 1), np.float32))
        assert counter.calls <= step + 2
    assert counter.calls == 13  # some lane always runs, because their budgets differ


@pytest.mark.parametrize(("solver", "evaluations"), [("euler", 5), ("heun", 9), ("dpmpp_2m", 5), ("rk4", 17)])
def test_an_episode_costs_what_the_solver_says(solver: str, evaluations: int) -> None:
    env = gym.make_vec(DEFAULT, num_envs=2, population=3, num_steps=5, solver=solver, autoreset_mode="Disabled")
    env.reset(seed=0)
    for _ in range(5):
        env.step(np.zeros((2, 1), np.float32))
    counter = env.core.problem.denoise
    assert (counter.calls, counter.evaluations) == (evaluations, evaluations * 6)


def test_ended_lanes_need_a_reset_when_autoreset_is_disabled() -> None:
    env = gym.make_vec(DEFAULT, num_envs=2, num_steps=(1, 2), autoreset_mode=AutoresetMode.DISABLED)
    zeros = np.zeros((2, 1), np.float32)
    env.reset(options={"num_steps": np.array([1, 2])})
    observation, *_ = env.step(zeros)
    with pytest.raises(ResetNeeded, match=r"lanes \[0\] have ended"):
        env.step(zeros)
    again, info = env.reset(options={"reset_mask": np.array([True, False]), "num_steps": 2})
    np.testing.assert_array_equal(again[1], observation[1])
    np.testing.assert_array_equal(info["_num_steps"], [True, False])
    np.testing.assert_array_equal(env.step(zeros)[2], [False, True])


@pytest.mark.parametrize(
    "mask", [np.zeros(2, bool), np.ones(3, bool), np.ones(2), [True, False]], ids=["none", "shape", "type", "list"]
)
def test_bad_masks(mask: Any) -> None:
    env = gym.make_vec(DEFAULT, num_envs=2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": mask})


def test_a_mask_needs_a_first_reset() -> None:
    with pytest.raises(ResetNeeded, match="all lanes once"):
        gym.make_vec(DEFAULT, num_envs=2).reset(options={"reset_mask": np.array([True, False])})


def test_bad_arguments() -> None:
    from art_gym.envs.vector_env import ARTDiffusionVectorEnv

    with pytest.raises(ValueError, match="num_envs must be a whole number from 1 to 65536, got 0"):
        ARTDiffusionVectorEnv(0)
    with pytest.raises(ValueError, match="did you mean 'population'"):
        ARTDiffusionVectorEnv(2, popluation=3)
    with pytest.raises(ValueError, match="render_mode"):
        ARTDiffusionVectorEnv(2, render_mode="human")
