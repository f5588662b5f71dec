"""Continuous-time values for standard agents: the discount of a step depends on how long the step lasts.

A step from σ to σ′ takes Δ = log(σ/σ′)/log(σ_max/σ_min) of the clock, and the landing takes the rest. The discount of a
step is e^{−βΔ}, so that of an episode is e^{−β}, for any number of steps. SB3's own γ counts steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from art_gym.envs.observations import TIME

from .checks import require_number, require_time
from .critic import Batch, Fit, LinearCritic, critic_features, differences

PROGRESS, LOG_SIGMA = TIME.index("progress"), TIME.index("log_sigma")  # log σ: 1 at σ_max, 0 at σ_min and at the end


class _Clocked:
    """An SB3 buffer with one more keyword argument, ``rate``, which is β ≥ 0.

    Raises:
        ValueError: for an invalid rate, or observations that do not begin with the group "time".
    """

    observation_space: Any

    def __init__(self, *args: Any, rate: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        require_time(self.observation_space)
        self.rate = require_number("the discount rate by clock time", rate, 0)


class ClockReplayBuffer(_Clocked, ReplayBuffer):
    """SB3's replay buffer with a discount for each transition, which SAC, TD3 and DQN use instead of their γ."""

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> ReplayBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        elapsed = _clock(samples.observations) - _clock(samples.next_observations)
        return samples._replace(discounts=torch.exp(-self.rate * elapsed)[:, None])


class ClockRolloutBuffer(_Clocked, RolloutBuffer):
    """SB3's rollout buffer with advantages that are sums of continuous-time martingale differences.

    A_k = δ_k + η e^{−βΔ_k} A_{k+1} with δ_k = e^{−βΔ_k} V_{k+1} − V_k + r_k; η is ``gae_lambda``. V is the agent's own
    value network. With ``critic`` (as for `LinearCritic`) V is ART-RL's linear critic, fitted to each rollout by a
    martingale condition. The network then still trains, but only values what a rollout cuts off. The buffer does not
    see the next state of the last row, so Δ is the mean there. Rollouts of whole episodes do not need it.
    """

    def __init__(self, *args: Any, rate: float, critic: str | Fit | None = None, **kwargs: Any) -> None:
        super().__init__(*args, rate=rate, **kwargs)
        self.critic = None if critic is None else LinearCritic(critic)

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: np.ndarray) -> None:
        """Fill in advantages and returns."""
        clock = _clock(self.observations)  # (n, E)
        ended = np.concatenate([self.episode_starts[1:], dones[None].astype(np.float32)])  # (n, E)
        after = np.concatenate([clock[1:], np.full_like(clock[:1], np.nan)])
        elapsed = clock - np.where(ended > 0, 0.0, after)
        elapsed = np.where(np.isnan(elapsed), np.nanmean(elapsed), elapsed)
        discounts = np.exp(-self.rate * elapsed) * (1 - ended)
        last = last_values.clone().cpu().numpy().reshape(1, -1)
        if self.critic is None:
            values = np.concatenate([self.values, last])  # (n+1, E)
            delta = differences(Batch(values[..., None], self.rewards, discounts), np.ones(1))
        else:
            features = critic_features(
                self.observations[..., PROGRESS].astype(np.float64), 1.0 - clock, self.observations[..., len(TIME) :]
            )
            rewards = self.rewards.astype(np.float64)
            rewards[-1] += (discounts[-1:] * last)[0]  # the value of what the rollout cuts off
            delta = self.critic.fit(Batch(np.concatenate([features, 0 * features[:1]]), rewards, discounts))
            values = features @ self.critic.weights
        total = np.zeros(self.n_envs)
        for k in reversed(range(self.buffer_size)):
            total = delta[k] + self.gae_lambda * discounts[k] * total
            self.advantages[k] = total
        self.returns = (self.advantages + values[: self.buffer_size]).astype(np.float32)


def _clock(observations: Any) -> Any:
    """(…) scaled log σ of (…, features) observations. Raises a ValueError if a wrapper has changed it."""
    clock = observations[..., LOG_SIGMA]
    if not (clock.min() >= 0 and clock.max() <= 1):
        raise ValueError(
            f"log σ in the observations must lie in [0, 1] for discounts by clock time, found {float(clock.min()):.3g} "
            f"to {float(clock.max()):.3g}: leave out VecNormalize and other wrappers that change observations"
        )
    return clock
