"""A start for an agent: the best fixed schedule that CMA-ES finds from several random ones.

Noise on the actions smooths what a policy gradient sees. If the best schedules lie in narrow valleys, smoothing moves
the optimum. On Ring2D with DPM-Solver++(2M) and five steps, a policy of deviation e^{−2} leaves the best valley even if
it begins there. PPO with little noise stays there. SAC leaves the valley while its critic learns, and comes back only
in part, so it keeps the start as its best model.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any, NoReturn, cast

import numpy as np
import torch
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

from art_gym.envs.observations import Observed

Startable = PPO | A2C | SAC  # their policies have a mean to fit

SCREENED, SPREAD = 64, 0.3  # random schedules per search, and their actions' deviation
CANDIDATES = 16  # per generation
FIRST_SPREADS = 0.2, 0.3  # initial deviations, in turn: each finds other valleys
# Phases of a search: the share of the K actions that move (interpolation gives the others), and the generations.
# After each phase, the better half of the searches continues. With many steps the best grids are smooth, but a search
# from a random grid ends in a ragged one. So few actions move at first, and all in the end.
FEW = 10  # steps
PHASES = (1.0, 40), (1.0, 30), (1.0, 80)
PHASES_OF_MANY = (1 / 3, 30), (2 / 3, 40), (1.0, 60), (1.0, 120)
FINER_SPREAD = 0.05  # deviation with which a search continues when more actions move
COMPARED = 64  # episodes to judge the outcome of a search
CLONED, CLONING_SPREAD = 128, 0.1  # episodes near the best schedule, for the policy's fit
CLONING_STEPS, CLONING_RATE = 300, 1e-3  # of Adam


def cost(searches: int, num_steps: int, lanes: int) -> int:
    """Episodes of K steps that a warm start plays. All lanes play at once, so counts round up to whole rounds."""

    def played(count: int) -> int:
        return _rounds(count, lanes) * lanes

    total = played(SCREENED * searches) + played(CLONED)
    for _, generations in _phases(num_steps):
        total += searches * (generations * played(CANDIDATES) + played(COMPARED))
        searches = _half(searches)
    return total


def affordable_searches(episodes: float, num_steps: int, lanes: int) -> int:
    """The largest number of searches that this many episodes of K steps pay for."""
    searches = 0
    while cost(searches + 1, num_steps, lanes) <= episodes:
        searches += 1
    return searches


def _phases(num_steps: int) -> list[tuple[int, int]]:
    """How many actions move, and for how many generations."""
    phases = PHASES if num_steps <= FEW else PHASES_OF_MANY
    return [(round(share * num_steps), generations) for share, generations in phases]


def _rounds(count: int, lanes: int) -> int:
    return -(-count // lanes)


def _half(searches: int) -> int:
    return -(-searches // 2)


def warm_start(model: Startable, num_steps: int, searches: int, seed: int, progress: bool) -> None:
    """Fit the policy's mean to a good fixed schedule, which a search finds by playing episodes.

    The steps played count as the model's. Its value function does not change.

    Args:
        model: untrained, on an `ARTDiffusionVecEnv` with one budget K.
        num_steps: K, at least 2.
        searches: number of CMA-ES runs, which begin at the best random schedules.
        seed: of the search.
        progress: show a progress bar.
    """
    env = model.get_env()
    assert env is not None
    total = cost(searches, num_steps, env.num_envs)
    with tqdm(desc="warm start", total=total, unit="episode", disable=not progress) as bar:
        episodes = _Episodes(env, num_steps, np.random.default_rng([seed, num_steps]), bar)
        _clone(model.policy, episodes, _search(episodes, searches))
    if isinstance(model, SAC):
        quiet(model)
    model.num_timesteps = episodes.steps


def quiet(model: SAC) -> None:
    """Begin with the deviation of log_std_init. The network outputs it, and it is of any size at first."""
    if not model.use_sde:
        head = cast(torch.nn.Linear, model.actor.log_std)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.constant_(head.bias, model.actor.log_std_init)


class _Episodes:
    """Plays fixed schedules, each given by K actions. The last action has no effect, since the last step lands."""

    def __init__(self, env: VecEnv, num_steps: int, rng: np.random.Generator, bar: tqdm[NoReturn]) -> None:
        self.env, self.num_steps, self.rng, self.bar = env, num_steps, rng, bar
        self.core = env.get_attr("core")[0]
        self.steps = 0  # environment steps

    def play(self, actions: np.ndarray, same_noises: bool = False, seen: list[Observed] | None = None) -> np.ndarray:
        """(N,) returns of an episode for each of (N, K) actions, E lanes at once; appends observations to ``seen``."""
        lanes = self.env.num_envs
        rounds = _rounds(len(actions), lanes)
        padded = np.resize(np.clip(actions, -1, 1), (rounds, lanes, self.num_steps)).astype(np.float32)
        options: dict[str, Any] = {}
        if same_noises:  # the same for all, so that chance favours none of them
            noise = self.rng.integers(self.core.problem.bank.size, size=self.core.population)
            options["noise"] = np.tile(noise, (lanes, 1))
        returns = np.zeros((rounds, lanes))
        for total, round_actions in zip(returns, padded, strict=True):
            self.env.set_options(options)
            observation = self.env.reset()
            for action in round_actions.T:  # (E,)
                if seen is not None:
                    seen.append(observation)  # type: ignore[arg-type]  # SB3 knows tuples too
                observation, reward, _, _ = self.env.step(action[:, None])
                total += reward
        self.steps += padded.size
        self.bar.update(rounds * lanes)
        return returns.ravel()[: len(actions)]


def _search(episodes: _Episodes, searches: int) -> np.ndarray:
    """(K,) actions of the best schedule."""
    from cma import CMAEvolutionStrategy  # the import takes half a second

    num_steps, rng = episodes.num_steps, episodes.rng
    options = {
        "popsize": CANDIDATES,
        "verbose": -9,
        "seed": np.nan,  # leaves numpy's global generator alone
        "randn": lambda *shape: rng.standard_normal(shape),
    }
    phases = _phases(num_steps)
    moving, _ = phases[0]
    screened = SPREAD * rng.standard_normal((SCREENED * searches, moving))
    returns = episodes.play(_interpolated(screened, num_steps))
    strategies = [
        CMAEvolutionStrategy(first, spread, options)
        for first, spread in zip(screened[np.argsort(-returns)[:searches]], cycle(FIRST_SPREADS), strict=False)
    ]
    for now_moving, generations in phases:
        if now_moving > moving:
            moving = now_moving
            firsts = [_interpolated(strategy.mean, moving) for strategy in strategies]
            strategies = [CMAEvolutionStrategy(first, FINER_SPREAD, options) for first in firsts]
        for strategy in strategies:
            for _ in range(generations):
                asked = strategy.ask()
                returns = episodes.play(_interpolated(np.array(asked), num_steps), same_noises=True)
                strategy.tell(asked, (-returns).tolist())
        merits = [_merit(episodes, _interpolated(strategy.mean, num_steps)) for strategy in strategies]
        strategies = [strategies[i] for i in np.argsort(merits)[::-1][: _half(len(strategies))]]
    mean: np.ndarray = np.clip(strategies[0].mean, -1, 1)
    return mean


def _interpolated(actions: np.ndarray, count: int) -> np.ndarray:
    """Interpolate (…, n) actions linearly at even distances; returns (…, count) actions."""
    given = actions.shape[-1]
    if given == count:
        return actions
    at = np.linspace(0, given - 1, count)
    stretched: np.ndarray = actions @ np.maximum(0, 1 - np.abs(np.arange(given)[:, None] - at))  # hat functions
    return stretched


def _merit(episodes: _Episodes, actions: np.ndarray) -> float:
    return float(episodes.play(np.tile(actions, (COMPARED, 1))).mean())


def _clone(policy: BasePolicy, episodes: _Episodes, actions: np.ndarray) -> None:
    """Fit the mean of the policy to (K,) actions, on observations near their schedule."""
    seen: list[Observed] = []
    noise = episodes.rng.standard_normal((CLONED, len(actions)))
    episodes.play(actions + CLONING_SPREAD * noise, seen=seen)
    inputs, _ = policy.obs_to_tensor(joined(seen))
    wanted = np.tile(np.repeat(actions, episodes.env.num_envs), len(seen) // len(actions))  # (rounds · K · E,)
    targets = torch.as_tensor(wanted, dtype=torch.float32)[:, None]
    optimiser = torch.optim.Adam(policy.parameters(), CLONING_RATE)  # does not change what the mean does not depend on
    for _ in range(CLONING_STEPS):
        loss = torch.nn.functional.mse_loss(policy._predict(inputs, deterministic=True), targets)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()


def joined(observed: list[Observed]) -> Observed:
    """Observations of several batches as one batch."""
    first = observed[0]
    if isinstance(first, dict):
        return {key: np.concatenate([entry[key] for entry in observed]) for key in first}
    return np.concatenate(observed)  # type: ignore[arg-type]
