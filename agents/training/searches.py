"""Searches as the rivals of an agent: a fixed grid for each K, by a search of `art_gym.search`.

They see the training noises only, in batches drawn from the seed, count every denoiser evaluation, and keep the best
grid on validation noise, as an agent's best policy is kept: their cost and result stand beside an agent's.
"""

from __future__ import annotations

import time

import numpy as np
from stable_baselines3.common.logger import configure
from tqdm import tqdm

from art_gym.common.isolation import isolated
from art_gym.denoisers.base import Counted
from art_gym.envs.config import load_config
from art_gym.evaluation.heldout import VALIDATION, VALIDATION_NOISES, evaluate_levels
from art_gym.schedules.schedule import Schedule
from art_gym.search.base import SEARCHES, Sought
from art_gym.solvers.base import get_solver
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.registry import resolve

from ..runs.config import TrainConfig, config_name, name_of, reported_budgets
from ..runs.folder import Point, Run
from ..runs.outcome import Outcome
from .tracking import Tracker

OF_EPISODES = ("population", "reward", "action", "observation", "raw_latents")


@isolated()
def train_search(config: TrainConfig, run: Run, resume: bool = False, progress: bool = True) -> Outcome:
    """Find a fixed grid for each budget of the environment by a registered search.

    Each budget's schedule is written as it is found; a run that is resumed searches for the others only.

    Raises:
        ValueError: for a configuration that does not fit, or a folder in use.
    """
    if config.hyperparams:
        raise ValueError(
            f"{config.algo} has no hyperparameters to set, got {', '.join(config.hyperparams)}: "
            f"only its number of steps can be changed (timesteps)"
        )
    env_config = config.env_config()
    usual = load_config(config_name(config.env_id))
    ignored = [key for key in OF_EPISODES if key in config.env and getattr(env_config, key) != getattr(usual, key)]
    if ignored:
        raise ValueError(f"{config.algo} plays no episodes, and has no use for {', '.join(ignored)}: leave that out")
    run.prepare(config, {"env": env_config.to_dict()}, resume)
    denoiser, solver = Counted(resolve(env_config.task)), name_of(env_config.solver)
    bank = get_bank(denoiser.denoiser, "train", env_config.noises)
    bank.ensure(bank.size)
    budgets = reported_budgets(env_config)
    tracker, logger = Tracker(env_config, budgets), configure(str(run.tensorboard / "run_1"), ["tensorboard"])
    tracker.record_hyperparams(
        logger, config, {} if config.n_timesteps is None else {"n_timesteps": config.n_timesteps}
    )
    logger.dump(0)
    points = run.history()
    before = (points[-1].seconds, points[-1].evaluations) if points else (0.0, 0)
    began, paused = time.perf_counter(), 0.0
    schedules, as_grid = {}, {}
    for num_steps in budgets:
        file = run.folder / f"schedule_K{num_steps}.json"
        if file.exists():  # by the run that is resumed
            levels = np.array(Schedule.load(file).sigmas)
        else:
            sought = Sought(
                denoiser,
                get_solver(env_config.solver),
                num_steps,
                bank.start,
                bank.endpoints,
                config.seed,
                config.n_timesteps,
            )
            found = SEARCHES[config.algo](sought) if num_steps > 1 else iter(())
            levels, least = np.array([denoiser.sigma_max, 0.0]), np.inf
            for episodes, tried in tqdm(found, desc=f"{config.algo} K={num_steps}", disable=not progress):
                pause = time.perf_counter()
                evaluation = evaluate_levels(
                    denoiser.denoiser, env_config.solver, tried, VALIDATION_NOISES, VALIDATION, distances=False
                )
                if evaluation.error < least:
                    levels, least = tried, evaluation.error
                steps, seconds = episodes * num_steps, before[0] + pause - began - paused
                points.append(Point(steps, before[1] + denoiser.evaluations, seconds, {num_steps: evaluation.error}))
                tracker.record(logger, num_steps, evaluation)
                logger.dump(steps)
                paused += time.perf_counter() - pause
        pause = time.perf_counter()
        as_grid[num_steps] = evaluate_levels(denoiser.denoiser, env_config.solver, levels)
        schedules[num_steps] = Schedule(
            sigmas=tuple(levels),
            method=config.algo,
            task=name_of(env_config.task),
            solver=solver,
            seed=config.seed,
            heldout_error=as_grid[num_steps].error,
            flow=getattr(denoiser.denoiser, "flow", False),
        )
        run.write_history(points)
        schedules[num_steps].save(file)
        paused += time.perf_counter() - pause
    logger.close()
    seconds = before[0] + time.perf_counter() - began - paused
    evaluations = before[1] + denoiser.evaluations
    return Outcome(
        config.algo,
        name_of(env_config.task),
        solver,
        schedules,
        as_grid,
        None,
        evaluations=evaluations,
        seconds=seconds,
    )
