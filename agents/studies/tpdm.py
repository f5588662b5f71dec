"""TPDM's recipe: a Beta policy over the ratio of levels, learned by REINFORCE with leave-one-out baselines.

Ye et al., CVPR 2025, arXiv:2412.01243, and the published code. Followed: flow times t with ratios t_{k+1}/t_k from
Beta(1 + e^a, 1 + e^b), the first a and b, the advantages, PPO's clipped ratio of a whole episode's probability, the
decay of rewards, an end where t falls below the least, and the mode of the policy afterwards.

Not followed: the policy sees the level and how many steps are gone, but not the sample, so it gives one grid for all
noises, as the suite compares them. The reward is that of our other agents, or exp(−error), and not what people prefer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from art_gym.denoisers.base import Denoiser
from art_gym.envs.actions.base import bounded
from art_gym.measures.errors import endpoint_error
from art_gym.solvers.base import Solver
from art_gym.solvers.loop import integrate

if TYPE_CHECKING:
    import torch

GRIDS, NOISES = 8, 64  # played in an update, each grid with each noise
EPOCHS, CLIP, RATE = 4, 0.2, 1e-3  # of PPO and of Adam; with a rate of 3e-3 some runs end at a useless grid
FIRST = 1.5, 0.5  # a and b before learning, as in the code
WIDTH = 64  # of the network's only hidden layer
LIMIT = 8.0  # of |a| and |b|
NEAREST = 1e-3  # of a ratio to 0 and to 1, as in the code

Reward = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (G,) errors and (G,) numbers of steps to (G,) rewards


class Episodes(NamedTuple):
    """G episodes of at most K steps.

    Attributes:
        levels: (K+1, G), with 0 from the end of an episode on.
        seen: (K−1, G, 2) what the policy saw.
        ratios: (K−1, G) of flow times, as it chose them.
        goes_on: (K−1, G) whether the episode had not yet ended.
    """

    levels: np.ndarray
    seen: np.ndarray
    ratios: np.ndarray
    goes_on: np.ndarray

    @property
    def steps(self) -> np.ndarray:
        """(G,) denoising steps."""
        steps: np.ndarray = (self.levels > 0).sum(axis=0)
        return steps


def log_gain(errors: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The suite's reward, less the logarithm of the reference's error. Leave-one-out advantages are the same."""
    gains: np.ndarray = -np.log(errors)
    return gains


def decayed(gamma: float) -> Reward:
    """The paper's reward for N steps, the mean of γ^(N−n) over n = 1 … N, times a quality. Here that is exp(−error)."""

    def reward(errors: np.ndarray, steps: np.ndarray) -> np.ndarray:
        decay = np.array([np.mean(gamma ** np.arange(count)) for count in steps])
        rewards: np.ndarray = decay * np.exp(-errors)
        return rewards

    return reward


def tpdm(
    denoiser: Denoiser,
    solver: Solver,
    num_steps: int,
    start: np.ndarray,
    endpoints: np.ndarray,
    updates: int,
    seed: int,
    reward: Reward = log_gain,
    exactly: bool = True,
) -> np.ndarray:
    """Learn a grid.

    Args:
        denoiser, solver: what is sampled, and with what.
        num_steps: K.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        updates: of the policy. Each plays `GRIDS` grids with the same `NOISES` noises.
        seed: of the network, of the actions and of the noises.
        reward: of an episode.
        exactly: keep every level so high that K steps fit. A decay then changes nothing. Otherwise an episode ends
            below σ_min, and K is the most.

    Returns:
        (N+1,) levels of the policy's modes after the last update. N is K where ``exactly`` is set.
    """
    import torch  # not all studies need it

    rng = np.random.default_rng([seed, num_steps])
    policy = new_policy(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=RATE)
    for _ in range(updates if num_steps > 1 else 0):
        rows = rng.integers(len(start), size=NOISES)
        played = play(policy, denoiser, num_steps, exactly, GRIDS, rng)
        errors = errors_of(played, denoiser, solver, start[rows], endpoints[rows])
        gained = torch.tensor(leave_one_out(reward(errors, played.steps)), dtype=torch.float32)
        before = log_probability(policy, played).detach()
        for _ in range(EPOCHS):
            ratio = torch.exp(log_probability(policy, played) - before)  # (G,)
            worth = torch.minimum(ratio * gained, ratio.clamp(1 - CLIP, 1 + CLIP) * gained)
            optimizer.zero_grad()
            torch.autograd.backward(-worth.mean())
            optimizer.step()
    levels = play(policy, denoiser, num_steps, exactly, 1, None).levels[:, 0]
    return np.append(levels[levels > 0], 0.0)


def new_policy(seed: int) -> torch.nn.Module:
    """A network from what is seen to a and b, which begin at `FIRST`."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        last = torch.nn.Linear(WIDTH, 2)
        policy = torch.nn.Sequential(torch.nn.Linear(2, WIDTH), torch.nn.Tanh(), last)
    with torch.no_grad():
        last.weight.mul_(0.01)
        last.bias.copy_(torch.tensor(FIRST))
    return policy


def play(
    policy: torch.nn.Module,
    denoiser: Denoiser,
    num_steps: int,
    exactly: bool,
    count: int,
    rng: np.random.Generator | None,
) -> Episodes:
    """Draw the levels of so many episodes, or take the modes where there is no generator."""
    import torch

    levels = np.zeros((num_steps + 1, count))
    levels[0] = denoiser.sigma_max
    seen, ratios = np.zeros((num_steps - 1, count, 2), np.float32), np.full((num_steps - 1, count), 0.5)
    for k in range(num_steps - 1):
        sigma = np.maximum(levels[k], denoiser.sigma_min)
        place = np.log(sigma / denoiser.sigma_min) / np.log(denoiser.sigma_max / denoiser.sigma_min)
        seen[k] = np.stack([place, np.full(count, k / num_steps)], axis=1)
        with torch.no_grad():
            powers = powers_of(policy, seen[k]).double().numpy()  # (G, 2)
        drawn = powers[:, 0] / powers.sum(axis=1) if rng is None else rng.beta(*(1 + powers.T))
        ratios[k] = np.clip(drawn, NEAREST, 1 - NEAREST)
        time = ratios[k] * sigma / (denoiser.data_std + sigma)  # of data with standard deviation 1
        after = denoiser.data_std * time / (1 - time)
        ended = (levels[k] == 0) | (after < denoiser.sigma_min)
        kept = bounded(after, sigma, np.full(count, num_steps - k - 2), denoiser)
        levels[k + 1] = kept if exactly else np.where(ended, 0, after)
    return Episodes(levels, seen, ratios, levels[:-2] > 0)


def powers_of(policy: torch.nn.Module, seen: np.ndarray) -> torch.Tensor:
    """(…, 2) e^a and e^b of the (…, 2) that the policy sees."""
    import torch

    powers: torch.Tensor = torch.exp(policy(torch.from_numpy(seen)).clamp(-LIMIT, LIMIT))
    return powers


def log_probability(policy: torch.nn.Module, played: Episodes) -> torch.Tensor:
    """(G,) logarithms of the densities of all choices of an episode."""
    import torch

    powers = powers_of(policy, played.seen)  # (K−1, G, 2)
    choices = torch.distributions.Beta(1 + powers[..., 0], 1 + powers[..., 1])
    densities: torch.Tensor = choices.log_prob(torch.from_numpy(played.ratios).float())  # type: ignore[no-untyped-call]
    return (densities * torch.from_numpy(played.goes_on)).sum(dim=0)


def leave_one_out(rewards: np.ndarray) -> np.ndarray:
    """(G,) rewards, each less the mean of the others."""
    others = (rewards.sum() - rewards) / (len(rewards) - 1)
    advantages: np.ndarray = rewards - others
    return advantages


def errors_of(
    played: Episodes, denoiser: Denoiser, solver: Solver, start: np.ndarray, endpoints: np.ndarray
) -> np.ndarray:
    """(G,) mean endpoint errors of each grid on (B, *shape) noises."""
    errors = np.empty(played.levels.shape[1])
    for steps in np.unique(played.steps):
        of = np.flatnonzero(played.steps == steps)
        grids = np.repeat(played.levels[: steps + 1, of], len(start), axis=1)  # (N+1, G B)
        samples = integrate(denoiser, grids, np.concatenate([start] * len(of)), solver)
        samples = samples.reshape(len(of), *start.shape)
        errors[of] = endpoint_error(samples, np.broadcast_to(endpoints, samples.shape), batch_axes=2).mean(axis=1)
    return errors
