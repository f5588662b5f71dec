"""The rivals of an RL agent: black-box search (CMA-ES), gradients through the solver, and Gauss-Newton on the terminal
defect, for one fixed grid per K.

All see the training noises only, in batches drawn from the seed, and count every denoiser evaluation, so that their
cost stands beside an agent's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from art_gym.config import EnvConfig
from art_gym.denoisers.base import Counted
from art_gym.evaluation import VALIDATION, VALIDATION_NOISES, evaluate_levels
from art_gym.noise_bank import NoiseBank, get_bank
from art_gym.schedules.adam import gradient_descent
from art_gym.schedules.defect import defect
from art_gym.schedules.evolution import evolve
from art_gym.schedules.schedule import Schedule
from art_gym.solvers import get_solver
from art_gym.tasks import resolve

from .outcome import Outcome
from .runs import Point, Run, TrainConfig
from .training import TABLE_BUDGETS, name_of

RIVALS = ("cma", "gradient", "defect")
CANDIDATES = 12  # of a generation
BATCH = 64  # latents that a generation is judged on
GENERATIONS = 40  # and ten more for each step
UPDATES = 400  # of Adam


def train_rival(config: TrainConfig, run: Run, progress: bool = True) -> Outcome:
    """Find a fixed grid for each budget of the environment by ``cma``, ``gradient`` or ``defect``.

    Raises:
        ValueError: for a configuration that does not fit, or a folder in use.
    """
    env_config = config.env_config()
    run.prepare(config, {"env": env_config.to_dict()}, resume=False)
    denoiser, solver = Counted(resolve(env_config.task)), get_solver(env_config.solver)
    bank = get_bank(denoiser.denoiser, "train", env_config.noises)
    bank.ensure(bank.size)
    low, high = env_config.budgets
    budgets = [low] if low == high else [k for k in TABLE_BUDGETS if low <= k <= high] or [low, high]
    began, paused = time.perf_counter(), 0.0
    points: list[Point] = []
    schedules, as_grid = {}, {}
    for num_steps in budgets:
        search = {"cma": _cma, "gradient": _gradient, "defect": _defect}[config.algo]
        total = config.n_timesteps and config.n_timesteps // num_steps
        found = search(denoiser, env_config, num_steps, bank, config.seed, total) if num_steps > 1 else iter(())
        levels = np.array([denoiser.denoiser.sigma_max, 0.0])
        for steps, levels in tqdm(found, desc=f"{config.algo} K={num_steps}", disable=not progress):
            pause = time.perf_counter()
            error = evaluate_levels(
                denoiser.denoiser, solver, levels, VALIDATION_NOISES, VALIDATION, distances=False
            ).error
            points.append(Point(steps, denoiser.evaluations, pause - began - paused, {num_steps: error}))
            paused += time.perf_counter() - pause
        pause = time.perf_counter()
        as_grid[num_steps] = evaluate_levels(denoiser.denoiser, solver, levels)
        schedules[num_steps] = Schedule(
            sigmas=tuple(levels),
            method=config.algo,
            task=name_of(env_config.task),
            solver=solver.name,
            seed=config.seed,
            heldout_error=as_grid[num_steps].error,
        )
        paused += time.perf_counter() - pause
    run.write_history(points)
    seconds = time.perf_counter() - began - paused
    task = name_of(env_config.task)
    return Outcome(config.algo, task, solver.name, schedules, as_grid, None, denoiser.evaluations, seconds)


def _cma(
    denoiser: Counted, config: EnvConfig, num_steps: int, bank: NoiseBank, seed: int, total: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """CMA-ES; yields (episodes, levels), an episode being one candidate on one batch."""
    generations = GENERATIONS + 10 * num_steps if total is None else max(total // CANDIDATES, 1)
    found = evolve(denoiser, num_steps, config.solver, bank.start, bank.endpoints, generations, CANDIDATES, BATCH, seed)
    for generation, levels in enumerate(found, start=1):
        if generation % 5 == 0 or generation == generations:
            yield generation * CANDIDATES, levels


def _gradient(
    denoiser: Counted, config: EnvConfig, num_steps: int, bank: NoiseBank, seed: int, total: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Adam through the solver; yields (episodes, levels)."""
    updates = UPDATES if total is None else max(total, 1)
    found = gradient_descent(denoiser, num_steps, config.solver, bank.start, bank.endpoints, updates, BATCH, seed=seed)
    for update, levels in enumerate(found, start=1):
        if update % 20 == 0 or update == updates:
            yield update, levels


def _defect(
    denoiser: Counted, config: EnvConfig, num_steps: int, bank: NoiseBank, seed: int, total: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Gauss-Newton on the terminal defect; yields once, after all its runs (its cost is in the evaluations)."""
    yield 1, defect(denoiser, num_steps, config.solver, bank.start, bank.endpoints, seed)
