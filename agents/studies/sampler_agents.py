"""Agents whose actions choose all of a step, with and without a search at their start, beside the search alone."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from art_gym.evaluation.heldout import Evaluation
from art_gym.samplers.freedom import Freedom
from art_gym.tasks.references import find_reference, score
from art_gym.tasks.registry import BUILT_IN
from art_gym.tasks.target import Target

from ..reports import pictures
from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..training.run import train
from .study import Record, Study, markdown, mean_and_range

AGENTS = ("ppo", "sac", "td3", "tqc", "crossq")
SEARCHES = {"cma": "CMA-ES", "defect": "Gauss-Newton"}
SINGLES, BOTH_ENDS = (5, 7, 10), (5, 10)
SLOW = "digits"  # its denoiser is, so it has one agent and fewer steps
RANGE_AGENT = "ppo"
SINGLE_STEPS, RANGE_STEPS = 60_000, 800_000  # of 64 latents each: 3.8 and 51 million denoiser evaluations
FEWER_STEPS = 150_000  # for the range of K without a search, and on Digits, whose denoiser is slow: 9.6 million
POPULATION = 64
QUICK_STEPS, QUICK_SEARCH, QUICK_NOISES = 4_000, 40_000, 256


def sampler_agents(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Scores against the best sampler: one policy for K from 5 to 10, then five algorithms with one K each."""
    study = Study("sampler_agents", out)
    ranges: list[list[str]] = []
    singles: list[list[str]] = []
    for task in BUILT_IN[:1] if quick else BUILT_IN:
        some = seeds[:1] if task == SLOW else seeds
        ranges.append([task, RANGE_AGENT, *_cells(study, RANGE_AGENT, task, BOTH_ENDS, some, quick)])
        _written(study, ranges, singles, seeds)
    fast = [task for task in BUILT_IN if task != SLOW]
    for task, num_steps in product(fast[:1] if quick else fast, SINGLES[:1] if quick else SINGLES):
        for agent in AGENTS[:1] if quick else AGENTS:
            cells = _cells(study, agent, task, num_steps, seeds[:1], quick)
            singles.append([task, str(num_steps), agent, *cells])
            _written(study, ranges, singles, seeds)
        for name, label in SEARCHES.items():
            runs = [_search(study, name, task, num_steps, seeds[0], quick)]
            singles.append([task, str(num_steps), label, _scores(runs, "errors", task), "–", "–", *_costs(runs)])
    return _written(study, ranges, singles, seeds)


def _written(study: Study, ranges: list[list[str]], singles: list[list[str]], seeds: tuple[int, ...]) -> str:
    """Write the tables so far, and draw the first one."""
    kinds = ("begun by Gauss-Newton", "Gauss-Newton alone", "without a search")
    scores = {
        f"{task}, {agent}, {kind}": float(cell.split()[0])
        for task, agent, *cells in ranges
        for kind, cell in zip(kinds, cells, strict=False)
    }
    if scores:
        pictures.bars(study.folder / "sampler_agents.png", scores, "score (1 = best sampler known)")
    heads = ["method", "score", "of that, the search alone", "without a search", "evaluations", "seconds"]
    parts = [
        f"Mean score against the best sampler, seeds {', '.join(map(str, seeds))} with their range. 0 is EDM's grid. "
        f"Runs on Digits and with one K have seed {seeds[0]} alone.",
        f"One policy for every K from {BOTH_ENDS[0]} to {BOTH_ENDS[1]}, the mean over K = 5, 7 and 10:",
        markdown(["task", *heads], ranges),
        "One policy for one K. Searches have as many evaluations as agents:",
        markdown(["task", "K", *heads], singles),
    ]
    return study.finish("Agents that choose all of a step", "\n\n".join(parts))


def _cells(
    study: Study, agent: str, task: str, budget: int | tuple[int, int], seeds: tuple[int, ...], quick: bool
) -> list[str]:
    """Scores of an agent with and without the search, and its cost with it."""
    begun = [_agent(study, agent, task, budget, True, seed, quick) for seed in seeds]
    alone = [_agent(study, agent, task, budget, False, seed, quick) for seed in seeds]
    scores = [_scores(begun, "errors", task), _scores(begun, "start_errors", task), _scores(alone, "errors", task)]
    return [*scores, *_costs(begun)]


def _scores(runs: list[Record], which: str, task: str) -> str:
    """The mean score over the K, for each run."""
    target, found = Target.of(task, freedom=Freedom()), []
    for run in runs:
        by_k = [score(error, find_reference(target, int(k))) for k, error in run[which].items()]
        found.append(float(np.mean([value for value in by_k if value is not None])))
    return mean_and_range(found, 3)


def _costs(runs: list[Record]) -> list[str]:
    evaluations, seconds = (float(np.mean([run[name] for run in runs])) for name in ("evaluations", "seconds"))
    return [f"{evaluations / 1e6:.1f} M", f"{seconds:.0f}"]


def _agent(
    study: Study, agent: str, task: str, budget: int | tuple[int, int], search: bool, seed: int, quick: bool
) -> Record:
    steps = QUICK_STEPS if quick else _steps(task, budget, search)
    hyperparams: dict[str, Any] = {} if search else {"warm_start": 0}
    if search and quick:
        hyperparams["warm_start.evaluations"] = QUICK_SEARCH
    key = {"agent": agent, "task": task, "num_steps": budget, "search": search, "seed": seed, "steps": steps}
    return study.once(key, lambda: _trained(agent, task, budget, seed, steps, hyperparams, quick))


def _steps(task: str, budget: int | tuple[int, int], search: bool) -> int:
    if isinstance(budget, int):
        return SINGLE_STEPS
    return RANGE_STEPS if search and task != SLOW else FEWER_STEPS


def _search(study: Study, name: str, task: str, num_steps: int, seed: int, quick: bool) -> Record:
    evaluations = QUICK_SEARCH if quick else SINGLE_STEPS * POPULATION
    # CMA-ES counts steps of its 64 noises, and Gauss-Newton evaluations.
    steps = evaluations // POPULATION if name == "cma" else evaluations
    key = {"agent": name, "task": task, "num_steps": num_steps, "seed": seed, "steps": steps}
    return study.once(key, lambda: _trained(name, task, num_steps, seed, steps, {}, quick))


def _trained(
    algo: str,
    task: str,
    budget: int | tuple[int, int],
    seed: int,
    steps: int,
    hyperparams: dict[str, Any],
    quick: bool,
) -> Record:
    env: dict[str, Any] = {"num_steps": budget, **({"noises": QUICK_NOISES} if quick else {})}
    config = TrainConfig(f"{task}_sampler", algo, seed, env, hyperparams, steps)
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(config, Run(Path(folder) / "run"), progress=False)
    return {
        "errors": _errors(outcome.as_policy or outcome.as_grid),
        "start_errors": None if outcome.as_start is None else _errors(outcome.as_start),
        "evaluations": outcome.evaluations,
        "seconds": outcome.seconds,
    }


def _errors(found: dict[int, Evaluation]) -> dict[str, float]:
    return {str(k): evaluation.error for k, evaluation in found.items()}
