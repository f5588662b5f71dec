"""Guidance of each step as an action: constant guidance, an interval and CMA-ES against PPO, by a classifier."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from art_gym.denoisers.threads import one_thread
from art_gym.envs.config import load_config
from art_gym.evaluation.heldout import Evaluation, evaluate_policy
from art_gym.schedules.grids.base import edm_grid

from ..reports import pictures
from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..training.agents import train_agent
from ..training.policies import load_evaluator
from .guided import Fixed, Sampling, constant, evolved, interval
from .study import Record, Study, markdown, mean_and_range

ENV = "ARTDiffusion-Guidance-v0"
NOISES = 1024  # training noises of a search
WEIGHTS = np.log(np.arange(0.6, 3.05, 0.2)) / np.log(4)  # guidance actions to choose a constant from
SOME = np.log(np.arange(1.2, 3.25, 0.4)) / np.log(4)  # and for an interval
EVALUATIONS = 360  # of the cost, for a search
LENGTH = 60_000
QUICK_NOISES, QUICK_EVALUATIONS, QUICK_LENGTH = 256, 24, 640
MANY = 50  # steps of the row that shows what guidance alone can reach


def guidance(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Accuracy and Fréchet distance to each class's data on held-out noise."""
    study = Study("guidance", out)
    rows: dict[str, list[Record]] = {}
    with one_thread():
        for name in FIXED:
            rows[name] = [study.once({"method": name, "quick": quick}, partial(_searched, study, name, quick))]
        rows[AGENT] = [
            study.once({"method": AGENT, "seed": seed, "quick": quick}, partial(_trained, seed, quick))
            for seed in seeds
        ]
        limits = {f"{w:g}": study.once({"limit": w}, partial(_limit, w)) for w in (1.0, 1.5, 2.0)}
    return _written(study, rows, limits)


def _edm(sampling: Sampling) -> np.ndarray:
    """(K, 2) actions of EDM's grid without guidance."""
    levels = edm_grid(sampling.num_steps, sampling.core.problem.denoiser)
    return sampling.actions(levels, np.ones(sampling.num_steps))


def _plain(sampling: Sampling, known: dict[str, np.ndarray], evaluations: int) -> np.ndarray:
    return _edm(sampling)


def _constant(sampling: Sampling, known: dict[str, np.ndarray], evaluations: int) -> np.ndarray:
    return constant(sampling.cost, _edm(sampling)[:, 0], WEIGHTS)


def _interval(sampling: Sampling, known: dict[str, np.ndarray], evaluations: int) -> np.ndarray:
    return interval(sampling.cost, _edm(sampling)[:, 0], SOME)


def _weights(sampling: Sampling, known: dict[str, np.ndarray], evaluations: int) -> np.ndarray:
    sizes, first = known[CONSTANT].T
    found = evolved(lambda each: sampling.cost(np.column_stack([sizes, each])), first, evaluations, 0)
    return np.column_stack([sizes, found])


def _grid(sampling: Sampling, known: dict[str, np.ndarray], evaluations: int) -> np.ndarray:
    """CMA-ES over the sizes and one guidance for all steps."""

    def actions(numbers: np.ndarray) -> np.ndarray:
        sizes = np.append(numbers[:-1], 0.0)  # a landing has none
        return np.column_stack([sizes, np.full(len(sizes), numbers[-1])])

    first = np.append(known[CONSTANT][:-1, 0], known[CONSTANT][0, 1])
    return actions(evolved(lambda each: sampling.cost(actions(each)), first, evaluations, 0))


def _grid_interval(sampling: Sampling, known: dict[str, np.ndarray], evaluations: int) -> np.ndarray:
    return interval(sampling.cost, known[GRID][:, 0], SOME)


def _both(sampling: Sampling, known: dict[str, np.ndarray], evaluations: int) -> np.ndarray:
    """CMA-ES over the sizes and the guidance of each step, from the best grid with one guidance."""
    count = sampling.num_steps

    def actions(numbers: np.ndarray) -> np.ndarray:
        return np.column_stack([np.append(numbers[: count - 1], 0.0), numbers[count - 1 :]])

    first = np.concatenate([known[GRID][:-1, 0], known[GRID][:, 1]])
    return actions(evolved(lambda each: sampling.cost(actions(each)), first, evaluations, 0))


CONSTANT, GRID, BOTH = "EDM's grid, constant guidance", "CMA-ES: grid, constant guidance", "CMA-ES: grid and guidance"
FIXED: dict[str, Callable[[Sampling, dict[str, np.ndarray], int], np.ndarray]] = {
    "EDM's grid, no guidance": _plain,
    CONSTANT: _constant,
    "EDM's grid, guidance in an interval": _interval,
    "EDM's grid, CMA-ES: guidance of each step": _weights,
    GRID: _grid,
    "that grid, guidance in an interval": _grid_interval,
    BOTH: _both,
}
AGENT = "PPO"


def _searched(study: Study, name: str, quick: bool) -> Record:
    """Fixed actions by a search on training noise, and their quality on held-out noise."""
    known = {
        record["method"]: np.array(record["actions"])
        for record in study.records()
        if "actions" in record and record["quick"] == quick
    }
    began, config = time.perf_counter(), load_config("guidance")
    sampling = Sampling(config, QUICK_NOISES if quick else NOISES)
    actions = FIXED[name](sampling, known, QUICK_EVALUATIONS if quick else EVALUATIONS)
    spent = {"evaluations": sampling.evaluations, "seconds": time.perf_counter() - began}
    found = evaluate_policy(Fixed(actions), config, config.budgets[1])
    return {"actions": actions.tolist(), **_measured(found), **spent}


def _trained(seed: int, quick: bool) -> Record:
    """A trained agent's quality on held-out noise."""
    env = {"noises": QUICK_NOISES} if quick else {}
    config = TrainConfig(ENV, "ppo", seed, env, {}, QUICK_LENGTH if quick else LENGTH)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        outcome = train_agent(config, run, progress=False)
        setup, evaluate = load_evaluator(run)
        found = evaluate(setup.budgets[-1])
        history = [[point.steps, next(iter(point.errors.values()))] for point in run.history()]
    return {**_measured(found), "history": history, "evaluations": outcome.evaluations, "seconds": outcome.seconds}


def _limit(weight: float) -> Record:
    """The quality with many steps of EDM's grid and constant guidance."""
    config = load_config("guidance", num_steps=MANY)
    sampling = Sampling(config, 1)
    levels = edm_grid(MANY, sampling.core.problem.denoiser)
    actions = sampling.actions(levels, np.full(MANY, weight))
    return _measured(evaluate_policy(Fixed(actions), config, MANY))


def _measured(found: Evaluation) -> Record:
    assert found.quality is not None
    assert found.guidance is not None
    return {
        "accuracy": found.quality.accuracy,
        "frechet": found.quality.frechet,
        "cost": found.quality.cost,
        "energy": found.energy,
        "noises": found.noises,
        "levels": found.levels.tolist(),
        "guidance": found.guidance.tolist(),
    }


def _written(study: Study, rows: dict[str, list[Record]], limits: dict[str, Record]) -> str:
    """Write the table and draw the costs."""
    rows = {name: runs for name, runs in rows.items() if runs}
    costs = {name: float(np.mean([run["cost"] for run in runs])) for name, runs in rows.items()}
    limits = {f"{MANY} steps, w = {name}": run for name, run in limits.items()}
    costs |= {name: run["cost"] for name, run in limits.items()}
    least = min(run["cost"] for run in limits.values())
    pictures.bars(study.folder / "guidance.png", costs, "2 (1 − accuracy) + Fréchet distance, held-out noise", least)
    lines = [_line(name, runs) for name, runs in (rows | {name: [run] for name, run in limits.items()}).items()]
    heads = ["method", "cost", "accuracy", "Fréchet", "energy", "mean w of each step", "evaluations", "seconds"]
    return study.finish("Guidance as an action", markdown(heads, lines))


def _line(name: str, runs: Sequence[Record]) -> list[str]:
    guidance = np.exp(np.mean(np.log([run["guidance"] for run in runs]), axis=0))
    few = " ".join(f"{w:.2f}" for w in guidance) if len(guidance) < MANY else "–"
    spent = "–" if "evaluations" not in runs[0] else f"{np.mean([run['evaluations'] for run in runs]) / 1e6:.1f} M"
    return [
        f"{name} ({len(runs)} seeds)" if len(runs) > 1 else name,
        *(mean_and_range([run[key] for run in runs], digits) for key, digits in COLUMNS.items()),
        few,
        spent,
        "–" if "seconds" not in runs[0] else f"{np.mean([run['seconds'] for run in runs]):.0f}",
    ]


COLUMNS = {"cost": 3, "accuracy": 4, "frechet": 3, "energy": 4}
