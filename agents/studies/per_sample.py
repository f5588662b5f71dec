"""Policies that see the latents of a single sample, each beside a blind twin: the same network, seeing time only."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from art_gym.evaluation.heldout import evaluate_policy
from art_gym.tasks.references import find_reference, score
from art_gym.tasks.target import Target

from ..reports import pictures
from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..training.agents import train_agent
from ..training.setup import Setup
from .art_rl import QUICK_SHARE, Trained, train_art_rl
from .study import Record, Study, interval, markdown

SETTINGS = tuple((task, solver) for task in ("mixture_1d", "ring_2d", "digits") for solver in ("dpmpp_2m", "euler"))
NUM_STEPS = 7
VIEWS = {"sees the latents": ["time", "latents"], "blind": ["time"]}
TIMESTEPS = 700_000  # as in the shipped recipes, also for the single-sample ids of Mixture1D and Ring2D
RECIPE = "mixture_1d_per_sample"
FEW_NOISES = 512  # for a quick run


def per_sample(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Scores of PPO, SAC and ART-RL, with and without sight of the latents."""
    study = Study("per_sample", out)
    lines, means, text = [], {}, ""
    heads = ["task, solver", "agent", "policy", f"score ({len(seeds)} seeds, IQM, 95 %)", "seconds"]
    for task, solver in SETTINGS[:1] if quick else SETTINGS:
        for agent in ("ppo", "sac", "art_rl"):
            for view, groups in VIEWS.items():
                runs = [_run(study, agent, task, solver, view, groups, seed, quick) for seed in seeds]
                reference = find_reference(Target.of(task, solver), NUM_STEPS)
                scores = [score(run["error"], reference) or 0.0 for run in runs]
                seconds = float(np.mean([run["seconds"] for run in runs]))
                lines.append([f"{task}, {solver}", agent, view, interval(scores), f"{seconds:.0f}"])
                means[f"{task}, {solver}, {agent}, {view}"] = float(np.mean(scores))
            # It takes hours, so you can read partial results on the way.
            pictures.bars(study.folder / "per_sample.png", means, "score (1 = best fixed grid)")
            title = f"State-dependent policies, one sample each, K = {NUM_STEPS}"
            text = study.finish(title, markdown(heads, lines))
    return text


def _run(
    study: Study, agent: str, task: str, solver: str, view: str, groups: list[str], seed: int, quick: bool
) -> Record:
    key = {"agent": agent, "task": task, "solver": solver, "view": view, "seed": seed, "quick": quick}
    if agent == "art_rl":
        return study.once(key, lambda: _art_rl(agent, task, solver, groups, seed, quick))
    steps = TIMESTEPS // (50 if quick else 1)
    return study.once({**key, "steps": steps}, lambda: _sb3(agent, task, solver, groups, seed, steps, quick))


def _sb3(agent: str, task: str, solver: str, groups: list[str], seed: int, steps: int, quick: bool) -> Record:
    env = {"task": task, "solver": solver, "num_steps": NUM_STEPS, "observation": groups}
    if quick:
        env["noises"] = FEW_NOISES
    config = TrainConfig(RECIPE, agent, seed, env=env, n_timesteps=steps)
    with tempfile.TemporaryDirectory() as folder:
        outcome = train_agent(config, Run(Path(folder) / "run"), progress=False)
    assert outcome.as_policy is not None
    error = outcome.as_policy[NUM_STEPS].error
    return {"error": error, "seconds": outcome.seconds, "evaluations": outcome.evaluations}


def _art_rl(agent: str, task: str, solver: str, groups: list[str], seed: int, quick: bool) -> Record:
    trained = _clock(task, tuple(groups), seed, QUICK_SHARE if quick else 1.0)
    config = TrainConfig(
        task,
        agent,
        seed,
        env={
            "solver": solver,
            "num_steps": NUM_STEPS,
            "population": 1,
            "observation": groups,
            "action": "speed_arctan",
        },
    )
    env_config = Setup.resolve(config).env_config
    found = evaluate_policy(trained.model.policy_for(NUM_STEPS), env_config, NUM_STEPS, distances=False)
    return {"error": found.error, "seconds": trained.seconds, "evaluations": trained.evaluations}


@cache
def _clock(task: str, groups: tuple[str, ...], seed: int, share: float) -> Trained:
    """One clock serves every solver, because its stiffness does not depend on it."""
    return train_art_rl(task, seed, share, {"population": 1, "observation": list(groups)})
