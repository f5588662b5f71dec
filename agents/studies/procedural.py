"""Agents that meet another random model in each episode: on models that training never saw, and how many it takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.denoisers.threads import one_thread
from art_gym.evaluation.families import best_grids, error_of_grids
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.samplers.plans import Plan
from art_gym.schedules.grids.base import edm_grid
from art_gym.schedules.instant import load_policy
from art_gym.schedules.probe import probe
from art_gym.search.defect import defect
from art_gym.search.instant import SECOND, find
from art_gym.tasks.families.base import ROWS, Family
from art_gym.tasks.target import Target

from ..reports import pictures
from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..training.agents import train_agent
from ..training.policies import load_evaluator
from .study import Record, Study, markdown, mean_and_range

ENV, SAMPLER_ENV = "ARTDiffusion-Procedural-v0", "ARTDiffusion-Procedural-Sampler-v0"
TEST, DRAWN = "procedural_test", "drawn"
STEPS = (5, 7, 10)
MODELS = (10, 100, 1000, 10_000)  # to train on
STARTED = 1000  # models for agents that begin with instant schedules
LENGTH, QUICK_LENGTH = 300_000, 3000
SHARED_NOISES, SHARED_EVALUATIONS = 4096, 3e5  # for the one grid that is best for all training models of a solver

ByModel = Callable[[Denoiser, str, int], Plan]  # a model's (K+1,) levels or sampler for a solver and K


class Agent(NamedTuple):
    """What is trained, on how many models, and whether it begins with what instant gives."""

    models: int
    started: bool = False
    algo: str = "ppo"
    sampler: bool = False  # its actions choose all of a step


AGENTS = (
    *map(Agent, MODELS),
    Agent(STARTED, started=True),
    Agent(STARTED, algo="sac"),
    Agent(STARTED, started=True, algo="sac"),
)
SAMPLER_AGENTS = Agent(STARTED, sampler=True), Agent(STARTED, started=True, sampler=True)


def procedural(out: Path, seeds: Sequence[int], quick: bool) -> str:
    """How much of each test model's best gain over EDM's grid is reached, and the gap to training models."""
    study = Study("procedural", out)
    with one_thread():
        fixed = {
            name: study.once({"method": name}, partial(_by_model, levels, DRAWN)) for name, levels in FIXED.items()
        }
        fixed["best grid of each model"] = study.once({"method": "best grids"}, _best)
        fixed["one grid for all models"] = study.once({"method": "shared"}, partial(_shared, quick))
        agents = {_label(agent): _runs(study, agent, seeds, quick) for agent in AGENTS[: 1 if quick else None]}
        samplers = {
            name: study.once({"sampler": name}, partial(_by_model, made, SECOND)) for name, made in IN_2M.items()
        }
        begun = SAMPLER_AGENTS[: 1 if quick else None]
        sampler_agents = {_label(agent): _runs(study, agent, seeds, quick) for agent in begun}
    text = _tables(fixed, agents, study.folder)
    return study.finish("One policy for any model", f"{text}\n\n{_sampler_table(samplers, sampler_agents)}")


def _label(agent: Agent) -> str:
    name = "samplers by " * agent.sampler + agent.algo.upper()
    return f"{name}, {agent.models:,} models" + ", begun by instant" * agent.started


def _runs(study: Study, agent: Agent, seeds: Sequence[int], quick: bool) -> list[Record]:
    """The records of an agent, one for each seed."""
    length = QUICK_LENGTH if quick else LENGTH
    what = {"algo": agent.algo, "actions": "sampler" if agent.sampler else "grid"}
    return [
        study.once(
            {"models": agent.models, "started": agent.started, "seed": seed, "steps": length, **what},
            partial(_trained, agent, seed, length),
        )
        for seed in seeds
    ]


def _closed_form(model: Denoiser, solver: str, num_steps: int) -> np.ndarray:
    return probe(model).closed_form(num_steps)


def _uncorrected(model: Denoiser, solver: str, num_steps: int) -> np.ndarray:
    return load_policy().levels(probe(model), num_steps, solver)


def _instant(model: Denoiser, solver: str, num_steps: int) -> np.ndarray:
    return np.array(find(model, num_steps, solver).plan.sigmas)


FIXED: dict[str, ByModel] = {
    "ART closed form": _closed_form,
    "instant without correction": _uncorrected,
    "instant": _instant,
}


def _edm(model: Denoiser, solver: str, num_steps: int) -> np.ndarray:
    return edm_grid(num_steps, model)


def _instant_sampler(model: Denoiser, solver: str, num_steps: int) -> Plan:
    return find(model, num_steps, solver, sampler=True).plan


IN_2M: dict[str, ByModel] = {"EDM's grid": _edm, "instant": _instant, "instant sampler": _instant_sampler}


def _target() -> Target:
    return Target.of(TEST, DRAWN)


def _by_model(made: ByModel, solver: str) -> Record:
    """The errors on the test models with levels or samplers of their own, for one solver or those that are drawn."""
    target = Target.of(TEST, solver)
    family = target.denoiser
    assert isinstance(family, Family)
    count = len(family.seeds)
    solvers = family.solvers(np.arange(count)) if solver == DRAWN else [solver] * count
    models = [family.model(number) for number in range(count)]
    plans = {k: [made(model, solver, k) for model, solver in zip(models, solvers, strict=True)] for k in STEPS}
    return {"errors": {str(k): error_of_grids(target, plans[k]) for k in STEPS}}


def _best() -> Record:
    """The errors on the test models with the best grid known for each."""
    target = _target()
    errors = {str(k): error_of_grids(target, best_grids(target, k)) for k in STEPS}
    edm = {str(k): evaluate_plan(target, edm_grid(k, target.denoiser), distances=False).error for k in STEPS}
    return {"errors": errors, "edm": edm}


def _shared(quick: bool) -> Record:
    """The errors on the test models with the one grid that fits the training models of their solver best."""
    target, train = _target(), Target.of("procedural", DRAWN)
    family = target.denoiser
    assert isinstance(family, Family)
    start, endpoints = train.noises("train", 256 if quick else SHARED_NOISES)
    second, errors = start[:, -1] > 0, {}
    for k in STEPS:
        grids = {
            solver: defect(train.denoiser, k, solver, start[rows], endpoints[rows], 0, SHARED_EVALUATIONS).tolist()
            for solver, rows in (("dpmpp_2m", second), ("euler", ~second))
        }
        solvers = family.solvers(np.arange(len(family.seeds)))
        errors[str(k)] = error_of_grids(target, [grids[solver] for solver in solvers])
    return {"errors": errors}


def _trained(agent: Agent, seed: int, steps: int) -> Record:
    """An agent's errors on the test models, and its gain over EDM's grid there and on its training models."""
    task, solver = f"procedural?models={agent.models}", SECOND if agent.sampler else DRAWN
    hyperparams = {} if agent.started else {"warm_start": 0}
    env = {"task": task, "noises": ROWS * agent.models}
    config = TrainConfig(SAMPLER_ENV if agent.sampler else ENV, agent.algo, seed, env, hyperparams, steps)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        outcome = train_agent(config, run, progress=False)
        _, on_test = load_evaluator(run, TEST)
        errors = {str(k): on_test(k, distances=False).error for k in STEPS}
        _, on_training = load_evaluator(run)
        known = Target.of(task, solver)
        gains = [
            np.log(evaluate_plan(known, edm_grid(k, known.denoiser), distances=False).error)
            - np.log(on_training(k, distances=False).error)
            for k in STEPS
        ]
    return {
        "errors": errors,
        "training_gain": float(np.mean(gains)),
        "evaluations": outcome.evaluations,
        "seconds": outcome.seconds,
    }


def _tables(fixed: dict[str, Record], agents: dict[str, list[Record]], folder: Path) -> str:
    best, edm = (fixed["best grid of each model"][name] for name in ("errors", "edm"))

    def gain(errors: dict[str, float]) -> float:
        return float(np.mean([np.log(edm[k] / errors[k]) for k in edm]))

    top = gain(best)
    rows = [[name, f"{gain(run['errors']) / top:.3f}", *_ratios([run], best), "–"] for name, run in fixed.items()]
    for name, runs in agents.items():
        score = mean_and_range([gain(run["errors"]) / top for run in runs], 3)
        rows.append([name, score, *_ratios(runs, best), f"{np.mean([run['evaluations'] for run in runs]) / 1e6:.1f} M"])
    gaps = [
        [
            name,
            mean_and_range([run["training_gain"] for run in runs], 3),
            mean_and_range([gain(run["errors"]) for run in runs], 3),
        ]
        for name, runs in agents.items()
    ]
    scores = {name: gain(run["errors"]) / top for name, run in fixed.items()}
    scores |= {name: float(np.mean([gain(run["errors"]) / top for run in runs])) for name, runs in agents.items()}
    pictures.bars(folder / "procedural.png", scores, "score (1 = each model's best grid, 0 = EDM's grid)")
    return "\n\n".join(
        [
            "A hundred test models, Euler for half of them and 2M for the other half. Score 0 is EDM's grid, and 1 the "
            "best grid of each model.",
            markdown(["method", "score", *(f"error over the best, K = {k}" for k in STEPS), "evaluations"], rows),
            "Mean log(error of EDM's grid / error):",
            markdown(["agent", "on its training models, other noise", "on test models"], gaps),
        ]
    )


def _sampler_table(fixed: dict[str, Record], agents: dict[str, list[Record]]) -> str:
    """Errors with DPM-Solver++(2M) for all test models, and of samplers that begin with its steps."""
    grids = fixed["instant"]["errors"]
    rows = [[name, *_ratios([run], grids), "–"] for name, run in fixed.items()]
    for name, runs in agents.items():
        rows.append([name, *_ratios(runs, grids), f"{np.mean([run['evaluations'] for run in runs]) / 1e6:.1f} M"])
    over = [f"error over that of instant grids, K = {k}" for k in STEPS]
    heads = ["with 2M on all test models", *over, "evaluations"]
    return markdown(heads, rows)


def _ratios(runs: list[Record], best: dict[str, float]) -> list[str]:
    return [mean_and_range([run["errors"][k] / best[k] for run in runs], 2) for k in map(str, STEPS)]
