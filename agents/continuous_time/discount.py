"""Continuous-time values for standard agents: decisions that last unequal times are discounted by how long they last.

A step from σ to σ′ takes Δ = log(σ/σ′)/log(σ_max/σ_min) of the clock (the landing takes what is left), and is
discounted by e^{−βΔ}: an episode by e^{−β} in all, however many steps it has. SB3's own γ counts steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from art_gym.observations import TIME

from .critic import Batch, differences

LOG_SIGMA = TIME.index("log_sigma")  # scaled to 1 at σ_max and 0 at σ_min and at the end


class _Clocked:
    """A buffer of SB3's with one more keyword argument, ``rate``: β."""

    def __init__(self, *args: Any, rate: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rate = rate


class ClockReplayBuffer(_Clocked, ReplayBuffer):
    """SB3's replay buffer with a discount for each transition, which SAC, TD3 and DQN use instead of their γ."""

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> ReplayBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        elapsed = samples.observations[:, LOG_SIGMA] - samples.next_observations[:, LOG_SIGMA]
        return samples._replace(discounts=torch.exp(-self.rate * elapsed)[:, None])


class ClockRolloutBuffer(_Clocked, RolloutBuffer):
    """SB3's rollout buffer with advantages that are sums of continuous-time martingale differences.

    A_k = δ_k + η e^{−βΔ_k} A_{k+1} with δ_k = e^{−βΔ_k} V_{k+1} − V_k + r_k; η is ``gae_lambda``. Of the last row,
    whose next state the buffer does not see, Δ is the mean one; rollouts of whole episodes do not need it.
    """

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: np.ndarray) -> None:
        """Fill in advantages and returns."""
        clock = self.observations[..., LOG_SIGMA]  # (n, E)
        ended = np.concatenate([self.episode_starts[1:], dones[None].astype(np.float32)])  # (n, E)
        after = np.concatenate([clock[1:], np.full_like(clock[:1], np.nan)])
        elapsed = clock - np.where(ended > 0, 0.0, after)
        elapsed = np.where(np.isnan(elapsed), np.nanmean(elapsed), elapsed)
        discounts = np.exp(-self.rate * elapsed) * (1 - ended)
        values = np.concatenate([self.values, last_values.clone().cpu().numpy().reshape(1, -1)])  # (n+1, E)
        delta = differences(Batch(values[..., None], self.rewards, discounts), np.ones(1))
        total = np.zeros(self.n_envs)
        for k in reversed(range(self.buffer_size)):
            total = delta[k] + self.gae_lambda * discounts[k] * total
            self.advantages[k] = total
        self.returns = self.advantages + self.values
