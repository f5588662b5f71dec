"""Agents that choose all of a step for a single sample: those that see it, each beside a blind twin."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from art_gym.samplers.freedom import Freedom
from art_gym.tasks.references import find_reference, score
from art_gym.tasks.target import Target

from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..training.run import train
from .per_sample import FEW_NOISES, RECIPE, VIEWS
from .study import Record, Study, markdown, mean_and_range

SETTINGS = (("mixture_1d", (5, 7)), ("ring_2d", (5,)), ("digits", (5,)))
SLOW = "digits"  # its denoiser is, so it has one seed
ALONE = (("digits", 5), ("mixture_1d", 5))  # settings without a search too
TIMESTEPS, QUICK_TIMESTEPS = 3_000_000, 40_000
# A reward from one sample is noisy, so updates take wide batches. With less noise on the actions nothing is learned.
LANES, RATE, LOG_STD = 256, "lin_1e-4", -5.0
ALONE_RATE, ALONE_LOG_STD = "lin_1e-3", -3.0


def sampler_sight(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Errors and scores of PPO, begun by Gauss-Newton, with and without sight of the latents."""
    study, rows, text = Study("sampler_sight", out), [], ""
    for task, budgets in SETTINGS[:1] if quick else SETTINGS:
        for num_steps in budgets[:1] if quick else budgets:
            some = seeds[:1] if task == SLOW else seeds
            for search in (True, False) if quick or (task, num_steps) in ALONE else (True,):
                for view, groups in VIEWS.items():
                    name = view if search else f"{view}, no search"
                    runs = [_run(study, task, num_steps, name, groups, seed, quick, search) for seed in some]
                    rows.append([f"{task}, K = {num_steps}", name, *_cells(runs, task, num_steps)])
            title = f"PPO chooses all of a step for one sample, seeds {', '.join(map(str, seeds))} with their range"
            heads = ["task", "policy", "error", "score", "of that, Gauss-Newton alone", "seconds"]
            slow = f"{SLOW} has seed {seeds[0]} alone. " if task == SLOW else ""
            note = f"{slow}A score of 1 is the best sampler known, which is blind."
            text = study.finish(title, f"{note}\n\n{markdown(heads, rows)}")
    return text


def _cells(runs: list[Record], task: str, num_steps: int) -> list[str]:
    reference = find_reference(Target.of(task, freedom=Freedom()), num_steps)
    errors = [run["error"] for run in runs]
    starts = [run["start_error"] for run in runs if run["start_error"] is not None]
    scores, begun = ([score(error, reference) or 0.0 for error in found] for found in (errors, starts))
    of_search = mean_and_range(begun, 3) if begun else "–"
    seconds = float(np.mean([run["seconds"] for run in runs]))
    return [mean_and_range(errors, 5), mean_and_range(scores, 3), of_search, f"{seconds:.0f}"]


def _run(
    study: Study, task: str, num_steps: int, view: str, groups: list[str], seed: int, quick: bool, search: bool
) -> Record:
    key = {"task": task, "num_steps": num_steps, "view": view, "seed": seed, "quick": quick}
    return study.once(key, lambda: _trained(task, num_steps, groups, seed, quick, search))


def _trained(task: str, num_steps: int, groups: list[str], seed: int, quick: bool, search: bool) -> Record:
    env: dict[str, Any] = {"task": task, "num_steps": num_steps, "action": "sampler", "observation": groups}
    if quick:
        env["noises"] = FEW_NOISES
    hyperparams: dict[str, Any] = {
        "num_envs": LANES,
        "n_steps": 2 * num_steps,
        "batch_size": LANES * num_steps // 2,
    }
    if search:
        hyperparams |= {"warm_start.learning_rate": RATE, "warm_start.policy_kwargs.log_std_init": LOG_STD}
    else:
        hyperparams |= {"warm_start": 0, "learning_rate": ALONE_RATE, "policy_kwargs.log_std_init": ALONE_LOG_STD}
    config = TrainConfig(RECIPE, "ppo", seed, env, hyperparams, QUICK_TIMESTEPS if quick else TIMESTEPS)
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(config, Run(Path(folder) / "run"), progress=False)
    assert outcome.as_policy is not None
    return {
        "error": outcome.as_policy[num_steps].error,
        "start_error": None if outcome.as_start is None else outcome.as_start[num_steps].error,
        "seconds": outcome.seconds,
    }
