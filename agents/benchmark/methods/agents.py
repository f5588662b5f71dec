"""Agents by the shipped recipes, whose length is the recipe's and not the suite's budget, and TPDM with that budget."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from art_gym.samplers.plans import Plan
from art_gym.tasks.registry import BUILT_IN

from ...runs.config import SAMPLER as SAMPLER_ENV
from ...runs.config import TrainConfig
from ...runs.folder import Run, plain
from ...studies.tpdm import GRIDS, NOISES, tpdm
from ...training.policies import load_evaluator
from ...training.run import train
from ...training.setup import Setup
from ..method import GRID, METHODS, Found, Method, Problem, endpoint_cost, with_budget
from ..suite import SAMPLER, Cell, Group

AGENTS = {
    "ppo": "Schulman et al. 2017; begins with a CMA-ES search through the environment",
    "sac": "Haarnoja et al. 2018",
    "td3": "Fujimoto et al. 2018",
    "tqc": "Kuznetsov et al. 2020",
    "crossq": "Bhatt et al. 2024",
    "a2c": "Mnih et al. 2016, defaults of stable-baselines3",
    "art_rl": "ART-RL, arXiv:2607.02137",
}
SAMPLER_AGENTS = ("ppo", "sac", "td3")


def _config(algo: str, search: bool, cell: Cell, seed: int) -> TrainConfig:
    steered = cell.solver == SAMPLER
    env: dict[str, Any] = {"num_steps": cell.num_steps}
    if not steered:
        env["solver"] = cell.solver
    hyperparams = {} if search else {"warm_start": 0}
    return TrainConfig(f"{cell.task}{SAMPLER_ENV if steered else ''}", algo, seed, env, hyperparams)


def _settings(algo: str, search: bool, cell: Cell, group: Group) -> dict[str, Any]:
    resolved: dict[str, Any] = plain(Setup.resolve(_config(algo, search, cell, 0)).resolved)
    return resolved


def _train(algo: str, search: bool, problem: Problem) -> Found:
    cell = problem.cell
    config = _config(algo, search, cell, problem.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        outcome = train(config, run, progress=False)
        setup, evaluate = load_evaluator(run)
        steps = run.history()[-1].steps

    def error(count: int, first: int) -> float:
        return evaluate(cell.num_steps, count, first, distances=False).error

    spent = outcome.evaluations + setup.env_config.noises * endpoint_cost(problem.denoiser)
    fixed = (outcome.as_policy or outcome.as_grid)[cell.num_steps]
    plan: Plan | None = outcome.plans[cell.num_steps] if fixed.spread == 0 and fixed.sampler is None else None
    return Found(plan, error, steps, spent)


def _tpdm(problem: Problem) -> Found:
    noises, played = problem.affordable(), GRIDS * NOISES * problem.solver.evaluations(problem.num_steps)
    updates = max(problem.left // played, 1)
    levels = tpdm(problem.denoiser, problem.solver, problem.num_steps, *noises, updates, problem.seed)
    return Found(levels, steps=updates * GRIDS * problem.num_steps)


def _is_exact(cell: Cell) -> bool:
    return cell.task in BUILT_IN


def _add(name: str, algo: str, source: str, search: bool, sampler: bool) -> None:
    METHODS.add(
        name,
        Method(
            "RL",
            source,
            partial(_train, algo, search),
            "the recipe in envs_configs/hyperparams",
            SAMPLER if sampler else GRID,
            partial(_settings, algo, search),
            _is_exact,
        ),
    )


for _algo, _source in AGENTS.items():
    _add(_algo, _algo, _source, True, False)
_add("ppo_alone", "ppo", f"{AGENTS['ppo'].partition(';')[0]}, without a search", False, False)
for _algo in SAMPLER_AGENTS:
    _add(f"sampler_{_algo}", _algo, f"{AGENTS[_algo].partition(';')[0]}; begins with Gauss-Newton", True, True)
_TPDM = (
    "TPDM's recipe, Ye et al. 2025, arXiv:2412.01243, on one grid for all noises; K is fixed, so its decay drops out"
)
METHODS.add("tpdm", Method("RL", _TPDM, _tpdm, "budget, network, rates", GRID, with_budget, _is_exact))
