"""Discounts by clock time for PPO and SAC, against their own by steps, at the same discount of an episode."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from art_gym.tasks.references import find_reference, score
from art_gym.tasks.target import Target

from ..reports import pictures
from ..runs.config import TrainConfig
from ..runs.folder import Run
from ..training.agents import train_agent
from .study import Record, Study, interval, markdown

TASK = "mixture_1d"
NUM_STEPS = 7
RATE = 0.5  # β: an episode is discounted by e^{−β}, in clock time or in K equal parts
BY_STEPS = float(np.exp(-RATE / NUM_STEPS))
# SAC's shipped targets reach over K steps, but the discount of each transition only counts in one-step targets. These
# may be old, so that SB3's own target entropy and a buffer of all steps fit them.
ONE_STEP = {"buffer_size": 100_000, "target_entropy": "auto"}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "ppo": {
        "none (γ = 1)": {},
        "by steps": {"gamma": BY_STEPS},
        "by clock": {"clock_discount": RATE},
        # ART-RL's critic in place of PPO's own value network
        "by clock, linear critic": {"clock_discount": RATE, "rollout_buffer_kwargs.critic": "least_squares"},
    },
    "sac": {
        "none (γ = 1)": {"n_steps": 1, **ONE_STEP},
        "by steps": {"n_steps": 1, "gamma": BY_STEPS, **ONE_STEP},
        "by clock": {"clock_discount": RATE, **ONE_STEP},
    },
}


def discount(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Scores with each discount."""
    study = Study("discount", out)
    lines, means = [], {}
    for algo, variants in VARIANTS.items():
        for name, hyperparams in variants.items():
            runs = [
                study.once(
                    {"algo": algo, "discount": name, "seed": seed, "quick": quick},
                    lambda algo=algo, hyperparams=hyperparams, seed=seed: _run(algo, hyperparams, seed, quick),  # type: ignore[misc]
                )
                for seed in seeds
            ]
            scores = [run["score"] for run in runs]
            lines.append([algo, name, interval(scores), f"{np.mean([run['seconds'] for run in runs]):.0f}"])
            means[f"{algo}, {name}"] = float(np.mean(scores))
    pictures.bars(study.folder / "discount.png", means, "score (1 = best fixed grid)")
    heads = ["agent", "discount", f"score ({len(seeds)} seeds, IQM, 95 %)", "seconds"]
    return study.finish(
        f"Discounts by clock time, {TASK}, dpmpp_2m, K = {NUM_STEPS}, β = {RATE}", markdown(heads, lines)
    )


def _run(algo: str, hyperparams: dict[str, Any], seed: int, quick: bool) -> Record:
    steps = 2000 * NUM_STEPS // (20 if quick else 1) * (4 if algo == "ppo" else 2)
    env = {"solver": "dpmpp_2m", "num_steps": NUM_STEPS}
    hyperparams = {**hyperparams, "warm_start": 0}  # a warm start ignores discounts
    config = TrainConfig(TASK, algo, seed, env=env, hyperparams=hyperparams, n_timesteps=steps)
    with tempfile.TemporaryDirectory() as folder:
        outcome = train_agent(config, Run(Path(folder) / "run"), progress=False)
    error = outcome.as_grid[NUM_STEPS].error
    return {
        "error": error,
        "score": score(error, find_reference(Target.of(TASK, "dpmpp_2m"), NUM_STEPS)),
        "seconds": outcome.seconds,
    }
