"""ART-RL as the studies train it, with the shipped hyperparameters and without a run's folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from art_gym.common.isolation import isolated
from art_gym.denoisers.base import Denoiser
from art_gym.envs.sb3 import ARTDiffusionVecEnv

from ..continuous_time import ARTRL
from ..runs.config import id_of
from ..training.hyperparams import load_hyperparams, overridden

QUICK_SHARE = 0.01  # of the shipped updates, for a quick check that a study works


@dataclass(frozen=True)
class Trained:
    """A model, its training time in seconds, and the denoiser evaluations."""

    model: ARTRL
    seconds: float
    evaluations: int


@isolated()
def train_art_rl(
    task: str | Denoiser, seed: int, share: float = 1.0, env: dict[str, Any] | None = None, **changes: Any
) -> Trained:
    """Train ART-RL.

    Args:
        task: name or denoiser.
        seed: of everything random.
        share: of the shipped number of updates.
        env: keys of the training environment to change, such as {"reward": "dual_stiffness"}.
        changes: hyperparameters to change, as `overridden` does.
    """
    torch.set_num_threads(1)  # the network is tiny
    values = load_hyperparams("art_rl", id_of(task), 1)
    clock = {**values.pop("training_env"), "task": task, **(env or {})}
    values = overridden(values, changes)
    lanes, steps = values.pop("num_envs"), int(values.pop("n_timesteps") * share)
    vector = ARTDiffusionVecEnv(lanes, **clock)
    model = ARTRL(env=vector, seed=seed, **values)
    began = time.perf_counter()
    model.learn(steps, log_interval=10**9)
    evaluations = vector.env.core.problem.denoise.evaluations
    return Trained(model, time.perf_counter() - began, evaluations)
