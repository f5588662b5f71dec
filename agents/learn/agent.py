"""The RL agent of `art-gym learn`, which trains on the noises at hand and offers its mean grid on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from art_gym.denoisers.base import Denoiser
from art_gym.evaluation.policies import AdaptivePolicy
from art_gym.evaluation.sampling import sample
from art_gym.tasks.noise_bank import get_bank

from ..continuous_time import ARTRL
from ..runs.config import TrainConfig
from ..training.divergence import divergence_named
from ..training.policies import policy_of
from ..training.setup import Setup
from .budget import Metered

POPULATION = 16  # latents that share a grid in an episode
ENVIRONMENTS = 16  # as in the shipped hyperparameters, where a batch of PPO is a whole rollout
OFFERS = 30  # how often the training offers the mean grid
PROBES = 64  # noises over which the grid is averaged
WIDTH = 0.5  # deviation from the given grid at an action of 1, in log σ


@dataclass(frozen=True, eq=False)
class Around:
    """An action map: deviations from a grid, log σ_next = log levels_{k+1} + WIDTH · a.

    Attributes:
        levels: (K+1,) with a trailing 0.
    """

    levels: np.ndarray

    def __call__(
        self, action: np.ndarray, sigma: np.ndarray, step: np.ndarray, num_steps: np.ndarray, denoiser: Denoiser
    ) -> np.ndarray:
        levels: np.ndarray = self.levels[step + 1] * np.exp(WIDTH * action)
        return levels


def train_agent(
    denoiser: Metered,
    first: np.ndarray,
    solver: str,
    algo: str,
    seed: int,
    noises: tuple[np.ndarray, np.ndarray],
    evaluations: float,
    offer: Callable[[np.ndarray], None],
) -> None:
    """Train an SB3 agent to deviate from a grid.

    Args:
        denoiser, solver: what the schedule is for.
        first: (K+1,) levels that an action of 0 gives.
        algo: "ppo", "sac", "art_rl" or another class of stable-baselines3 or sb3-contrib.
        seed: of the agent.
        noises: (B, *shape) latents at σ_max, and their precise endpoints.
        evaluations: denoiser evaluations that the training may use.
        offer: called with the (K+1,) mean grid of the policy.

    Raises:
        BudgetSpent: from the meter.
        Diverged: if the agent's network diverges.
    """
    start, endpoints = noises
    num_steps, population = len(first) - 1, min(POPULATION, len(start))
    env = {"task": denoiser, "solver": solver, "num_steps": num_steps, "action": Around(first)}
    env |= {"population": population, "noises": len(start)}
    timesteps = max(int(evaluations / (ENVIRONMENTS * population)), num_steps) * ENVIRONMENTS
    hyperparams = {"num_envs": ENVIRONMENTS, "warm_start": 0}  # the given grid is a good start already
    setup = Setup.resolve(TrainConfig("ARTDiffusion-v0", algo, seed, env, hyperparams, timesteps))
    get_bank(denoiser, "train", len(start)).adopt(start, endpoints)
    model = setup.make_model()
    policy = AdaptivePolicy(policy_of(model), setup.env_config, num_steps)
    probes = start[: population * min(PROBES // population, len(start) // population)]

    def offer_mean_grid() -> None:
        if isinstance(model, ARTRL):
            offer(model.levels(num_steps))
            return
        _, sigmas = sample(denoiser, policy, probes / np.float32(denoiser.sigma_max), solver)
        offer(np.append(np.exp(np.log(sigmas[:, :-1]).mean(axis=0)), 0.0))

    with divergence_named(model):
        model.learn(timesteps, Offers(timesteps // OFFERS, offer_mean_grid))


class Offers(BaseCallback):
    """Calls a function at regular intervals of environment steps, and at the end."""

    def __init__(self, interval: int, offer: Callable[[], None]) -> None:
        super().__init__()
        self.interval, self.offer, self.due = interval, offer, interval

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.due:
            self.due += self.interval
            self.offer()
        return True

    def _on_training_end(self) -> None:
        self.offer()
