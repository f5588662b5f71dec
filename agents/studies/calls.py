"""Which method to use for how many denoiser evaluations: all that makes a schedule, at equal cost."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.denoisers.threads import one_thread
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers.plans import Plan, levels_of
from art_gym.schedules.fine import reference_grid
from art_gym.search.base import SEARCHES, Sought
from art_gym.search.instant import find
from art_gym.search.tuned import tuned
from art_gym.solvers.base import get_solver
from art_gym.tasks.references import find_reference
from art_gym.tasks.target import Target

from ..reports import pictures
from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..training.agents import train_agent
from ..training.checkpoint import load_model
from ..training.policies import evaluator
from ..training.setup import Setup
from .study import Record, Study, markdown, mean_and_range

TASKS = {"digits": 2048, "digits_net": 256, "photos_net": 96}  # with how many noises are held out
LARGEST = {"photos_net": 30_000}  # evaluations, where a call is slow
BUDGETS = (1_000, 3_000, 10_000, 30_000, 100_000, 200_000)
SOLVER, STEPS = "dpmpp_2m", 7
PROBED = ("ART closed form", "instant")
BEGUN = "PPO, begun by instant"
AGENTS = ("PPO", BEGUN)  # one seed where a call is slow, since 2048 noises measure each run
FITTED = ("EDM, tuned", "log-normal, tuned", "cma", "defect", *AGENTS)
TUNED = {"EDM, tuned": "edm", "log-normal, tuned": "log_normal"}
TRIALS = 100  # of Nelder-Mead for a tuned grid, about
OVERSPENT = 1.5  # times its budget: a method that needs more for its first result has none for this budget
X_LABEL = "denoiser evaluations in all, those for precise endpoints included"
FEWEST = 2  # noises with precise endpoints
EVALUATED = 64  # noises at once, by CMA-ES


def calls(out: Path, seeds: Sequence[int], quick: bool) -> str:
    """Errors by task, method and budget."""
    study = Study("calls", out)
    sections = []
    with one_thread():
        for task in [*TASKS][: 1 if quick else None]:
            budgets = [b for b in BUDGETS[: 2 if quick else None] if b <= LARGEST.get(task, BUDGETS[-1])]
            runs: dict[str, dict[int, list[Record]]] = {}
            for name in PROBED:
                record = study.once({"task": task, "method": name}, partial(probed, task, name))
                runs[name] = {record["evaluations"]: [record]}
            for name in FITTED:
                for budget in budgets:
                    found = [
                        study.once(
                            {"task": task, "method": name, "budget": budget, "seed": seed},
                            partial(fitted, task, name, budget, seed),
                        )
                        for seed in (seeds[:1] if name in AGENTS and task in LARGEST else seeds)
                    ]
                    if all(0 < record["evaluations"] <= OVERSPENT * budget for record in found):
                        runs.setdefault(name, {})[budget] = found
            sections.append(_section(study, task, runs))
    some = (
        f"Seeds {', '.join(map(str, seeds))} with their range; PPO on {', '.join(LARGEST)} has seed {seeds[0]} alone."
    )
    return study.finish("Which method for how many evaluations", "\n\n".join([some, *sections]))


def probed(task: str, name: str) -> Record:
    """A schedule from one probe."""
    found = find(Target.of(task, SOLVER).denoiser, STEPS, SOLVER)
    if name == "instant":
        return {"error": _error(task, found.plan), "evaluations": found.evaluations}
    return {"error": _error(task, found.probe.closed_form(STEPS)), "evaluations": found.probe.evaluations}


def fitted(task: str, name: str, budget: int, seed: int) -> Record:
    """A schedule that is fitted to noises, whose precise endpoints take about half of the budget.

    The error is None if the budget is too small to begin. The evaluations are those spent in all. That an agent may
    keep its best policy, by 512 noises more, is not among them.
    """
    target = Target.of(task, SOLVER)
    cost = endpoint_cost(target.denoiser)
    noises = budget // (cost + TRIALS * STEPS) if name in TUNED else budget // 2 // cost
    if noises < FEWEST:
        return {"error": None, "noises": noises, "evaluations": 0}
    if name in AGENTS:
        spent, errors = agent_errors(task, noises, budget // 2, seed, name == BEGUN)
        return {**errors, "noises": noises, "evaluations": noises * cost + spent}
    start, endpoints = target.noises("train", noises)
    counted = Counted(target.denoiser)
    if name in TUNED:
        plan: Plan = tuned(TUNED[name], STEPS, counted, SOLVER, start, endpoints)[0]
    else:
        steps = budget // 2 if name == "defect" else budget // 2 // EVALUATED
        *_, last = SEARCHES[name](Sought(counted, get_solver(SOLVER), STEPS, start, endpoints, seed, steps))
        plan = last.plan
    return {"error": _error(task, plan), "noises": noises, "evaluations": noises * cost + counted.evaluations}


def agent_errors(task: str, noises: int, evaluations: int, seed: int, begun: bool) -> tuple[int, dict[str, float]]:
    """What PPO took, and the error of its policy; if it began with the instant schedule, that of its start too."""
    env = {"num_steps": STEPS, "solver": SOLVER, "noises": noises}
    hyperparams: dict[str, Any] = {"warm_start.instant": True} if begun else {"warm_start": 0}
    config = TrainConfig(task, "ppo", seed, env, hyperparams)
    config = replace(config, n_timesteps=max(evaluations // config.env_config().population, 1))
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        outcome = train_agent(config, run, progress=False)
        setup = Setup.resolve(config)
        model = setup.make_model()
        errors = {}
        for name, file in {"error": "best.pt", **({"start_error": "start.pt"} if begun else {})}.items():
            load_model(model, run.folder / file)
            errors[name] = evaluator(setup, model)(STEPS, TASKS[task], distances=False).error
    return outcome.evaluations, errors


def endpoint_cost(denoiser: Denoiser) -> int:
    """Denoiser evaluations for one precise endpoint."""
    return get_solver("rk4").evaluations(len(reference_grid(denoiser)) - 1)


def _error(task: str, plan: Plan) -> float:
    return evaluate_plan(Target.of(task, SOLVER), levels_of(plan), TASKS[task], distances=False).error


def _section(study: Study, task: str, runs: dict[str, dict[int, list[Record]]]) -> str:
    reference = find_reference(Target.of(task, SOLVER), STEPS)
    curves = {
        name: {budget: float(np.mean([record["error"] for record in found])) for budget, found in of.items()}
        for name, of in runs.items()
    }
    places = {evaluations for curve in curves.values() for evaluations in curve}
    oracle = None if reference is None else dict.fromkeys(places, reference.oracle_error)
    pictures.error_curves(
        study.folder / f"{task}.png",
        curves,
        highlight="instant",
        oracle=oracle,
        x_label=X_LABEL,
    )
    budgets = sorted({budget for name, of in runs.items() if name not in PROBED for budget in of})
    rows = [[name, *(_cell(of.get(budget)) for budget in budgets)] for name, of in runs.items() if name not in PROBED]
    at_once = ", ".join(f"{name} {next(iter(runs[name].values()))[0]['error']:.4f}" for name in PROBED)
    best = "" if reference is None else f" The best grid has {reference.oracle_error:.4f}."
    table = markdown(["method", *(f"{budget:,}" for budget in budgets)], rows)
    probes = f"From at most 1,000 evaluations: {at_once}.{best}"
    return "\n\n".join([f"### {task}, 2M, K = {STEPS}", probes, table])


def _cell(records: list[Record] | None) -> str:
    if records is None:
        return "–"
    began = [record["start_error"] for record in records if "start_error" in record]
    start = f" (began with {mean_and_range(began, 4)})" if began else ""
    return mean_and_range([record["error"] for record in records], 4) + start
