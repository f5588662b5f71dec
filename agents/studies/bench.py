"""Speed, as ratios against the bare sampling loop with the same denoiser and batch, measured in turns in one run."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from art_gym.common.isolation import isolated
from art_gym.envs.config import load_config
from art_gym.evaluation.policies import AdaptivePolicy
from art_gym.evaluation.sampling import sample
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import resolve

from ..reports.pictures import bars


@isolated()
def bench(seconds: float, picture: Path | None = None) -> str:
    """The table that ``art-gym bench`` prints.

    Args:
        seconds: time for each measurement, which alternates the two sides. Ratios come from the medians of their times,
            microseconds and steps per second from the shortest.
        picture: draws the ratios to this file.

    Raises:
        ValueError: if the seconds are not positive.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"the seconds for each measurement must be positive, got {seconds}: leave them out for 2")
    lines = ["| measurement | value | target |", "|:---|---:|---:|"]
    ratios = {}
    for task, lanes, population, target in (("digits", 16, 64, 0.8), ("mixture_1d", 256, 64, 0.5)):
        ratios[f"{task}, {lanes} × {population} latents"] = ratio = _against_bare_loop(task, lanes, population, seconds)
        lines.append(
            f"| {task}, {lanes * population} latents: bare loop time / vector env time | {ratio:.2f} | {target} |"
        )
    ratios["mixture_1d, 16384 × 1 latents"] = ratio = _against_bare_loop("mixture_1d", 16384, 1, seconds)
    lines.append(f"| mixture_1d, 16384 environments of population 1: the same | {ratio:.2f} | 0.5 |")
    lines.append(
        f"| mixture_1d, 1 environment, steps within an episode: time over the bare denoiser call, µs a step | "
        f"{_single(seconds, 100, 9):.0f} | 100 |"
    )
    lines.append(
        f"| the same for episodes of 7 steps with their resets, µs a step | {_single(seconds, 7, 7):.0f} | – |"
    )
    lines.append(
        f"| ARTDiffusion-v0 (digits, 64 latents), 1 environment: environment steps a second | "
        f"{_steps_a_second(seconds, 1, task='digits', population=64):,.0f} | – |"
    )
    rate = _steps_a_second(seconds, 1024, task="mixture_1d", population=1)
    lines.append(
        f"| mixture_1d, 1024 environments of population 1: environment steps a second | {rate:,.0f} | 1,000,000 |"
    )
    overhead = _policy_overhead(seconds)
    lines.append(f"| a policy (64-64 network) over a fixed grid, one sample, µs a step | {overhead:.0f} | – |")
    model = _large_model_call(seconds)
    lines.append(
        f"| the same as a share of a call of a network of 50 M parameters, one sample | {overhead / model:.1%} | – |"
    )
    if picture is not None:
        bars(picture, ratios, "time of the bare sampling loop over the environment's (1 = no overhead)")
    return "\n".join(lines)


def _in_turns(first: Callable[[], None], second: Callable[[], None], seconds: float) -> tuple[list[float], list[float]]:
    """The times of two functions that run in turns for about this many seconds."""
    first()
    second()
    times: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(times[0]) < 3:
        for function, spent in ((first, times[0]), (second, times[1])):
            start = time.perf_counter()
            function()
            spent.append(time.perf_counter() - start)
    return times


def _least(first: Callable[[], None], second: Callable[[], None], seconds: float) -> tuple[float, float]:
    """The shortest time of each function, on which the machine's other programs have the least effect."""
    of_first, of_second = _in_turns(first, second, seconds)
    return min(of_first), min(of_second)


def _against_bare_loop(task: str, lanes: int, population: int, seconds: float) -> float:
    """The bare loop's time over the vector environment's for the same episode. At 1 the environment costs nothing."""
    env = gym.make_vec("ARTDiffusion-v0", num_envs=lanes, task=task, population=population, noises=lanes * population)
    env.reset(seed=0)
    core = env.unwrapped.core  # type: ignore[attr-defined]
    denoiser, solver, num_steps = core.problem.denoiser, core.problem.solver, core.max_steps
    actions = np.zeros((lanes, 1), np.float32)
    levels = np.append(np.geomspace(denoiser.sigma_max, 2 * denoiser.sigma_min, num_steps), 0.0)
    bank = core.problem.bank
    bank.reference_errors(solver, num_steps, bank.size)  # so that the bank does not grow while it is timed
    start = bank.start[: lanes * population]

    def episode() -> None:
        for _ in range(num_steps + 1):  # the last one resets (NEXT_STEP) and makes the first call of the next episode
            env.step(actions)

    def bare() -> None:
        integrate(denoiser, levels, start, solver)

    with_env, without = (statistics.median(times) for times in _in_turns(episode, bare, seconds))
    env.close()
    return without / with_env


def _single(seconds: float, num_steps: int, count: int) -> float:
    """Microseconds of one environment's step over the bare denoiser call.

    Args:
        seconds: of measuring.
        num_steps: K.
        count: steps per window. A window of K steps is a whole episode, with its reset, errors and reward. The shortest
            of smaller windows has none of these.
    """
    env = gym.make("ARTDiffusion-v0", task="mixture_1d", population=1, num_steps=num_steps)
    env.reset(seed=0)
    denoiser = resolve("mixture_1d")
    x, sigma, action = np.ones((1, 1), np.float32), np.ones(1, np.float32), np.zeros(1, np.float32)
    taken = 0

    def steps() -> None:
        nonlocal taken
        if taken + count > num_steps:
            env.reset()
            taken = 0
        for _ in range(count):
            env.step(action)
        taken += count

    def calls() -> None:
        for _ in range(count):
            denoiser(x, sigma)

    with_env, without = _least(steps, calls, seconds)
    env.close()
    return (with_env - without) / count * 1e6


def _steps_a_second(seconds: float, lanes: int, **keys: Any) -> float:
    num_steps = 7
    env = gym.make_vec("ARTDiffusion-v0", num_envs=lanes, num_steps=num_steps, **keys)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (num_steps + 1, lanes, 1)).astype(np.float32)

    def episode() -> None:
        for action in actions:
            env.step(action)

    spent, _ = _least(episode, lambda: None, seconds)
    env.close()
    return lanes * num_steps / spent


def _policy_overhead(seconds: float) -> float:
    """Microseconds per step that a small policy network adds to `art_gym.sample` with a fixed grid."""
    import torch
    from stable_baselines3 import PPO

    from art_gym.envs.sb3 import ARTDiffusionVecEnv

    num_steps, task = 18, "mixture_1d"
    torch.set_num_threads(1)
    model = PPO("MlpPolicy", ARTDiffusionVecEnv(1, task, population=1, num_steps=num_steps))
    config = load_config(task, population=1, num_steps=num_steps)
    policy = AdaptivePolicy(lambda observed: model.predict(observed, deterministic=True)[0], config, num_steps)
    denoiser, noise = resolve(task), np.ones((1, 1), np.float32)
    levels = np.append(np.geomspace(denoiser.sigma_max, denoiser.sigma_min, num_steps), 0.0)
    adaptive, fixed = _least(
        lambda: _ignore(sample(denoiser, policy, noise)), lambda: _ignore(sample(denoiser, levels, noise)), seconds
    )
    return (adaptive - fixed) / num_steps * 1e6


def _large_model_call(seconds: float) -> float:
    """Microseconds of one call of a network of 50 million parameters (linear layers, each used once) on one sample."""
    import torch

    torch.set_num_threads(1)
    layers = torch.nn.Sequential(*(torch.nn.Linear(2500, 2500) for _ in range(8)))  # 50.02 M
    x = torch.ones(1, 2500)
    with torch.no_grad():
        spent, _ = _least(lambda: _ignore(layers(x)), lambda: None, seconds)
    return spent * 1e6


def _ignore(_: object) -> None:
    pass
