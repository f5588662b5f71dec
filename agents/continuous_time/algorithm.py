"""ART-RL: martingale updates of a Gaussian clock-speed policy, as an algorithm of stable-baselines3 (DESIGN §2)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import maybe_make_env
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from art_gym.envs.actions.speed import SpeedMap
from art_gym.envs.core import Core
from art_gym.envs.observations import LATENTS, Observed
from art_gym.envs.rewards.stiffness import Stiffness
from art_gym.evaluation.policies import Policy

from .checks import require_number, require_time
from .clock import Clock
from .critic import Batch, Fit, LinearCritic
from .policy import ClockPolicy, Instant

# A clock learns with short steps and serves long ones. Features that depend on the step length would mislead it.
STEP_DEPENDENT = ("denoised_change", "log_denoised_change")
CLAMP = 1e-3  # least |Q|, in units in which E[|Q|θ²] = 1 at first
STANDSTILL = 1e-3  # clock speed below which the clock stands still
MULTIPLIER_RATE = 0.2  # α_γ
DAMPING = 2.0  # of γ by the present excess of the clock: with dual ascent alone, γ swings ever further (Gaussian1D)


class ARTRL(OnPolicyAlgorithm):
    """The continuous-time actor-critic of ART on the suite's environment.

    A rollout is one episode in every lane: trajectories of K clock steps under θ ~ N(m, λ/|Q|). A martingale condition
    fits the critic. The actor moves along Σ_k (θ_k − m_k) |Q|/λ ∂m_k/∂w · A_k with A_k = Σ_{j≥k} η^{j−k} δ_j. In both
    formulas |Q| is E|Q| at the clock's position, which ARTRL learns, since the |Q| of a sample is known only after the
    step. `levels` returns the result, the mean clock at K equal steps.

    Args:
        policy: "ClockPolicy" (or the class).
        env: ``ARTDiffusion`` environments (a VecEnv, one environment, or an id) with reward "stiffness" (or
            "dual_stiffness"), the action map "speed_arctan", the observation group "time" first, and one K for all
            episodes (32 to 64, for schedules of any K). With the observation ["time"] alone, V and m depend on clock
            time and position only. The group "latents" makes them depend on the state x too.
        learning_rate: of Adam on the actor.
        critic: how to fit the critic, a key of `critic.CRITICS` or a function like those.
        trace: η from 0 to 1. 1 sums all differences (returns with a baseline), 0 is the paper's single δ_k.
        policy_kwargs: of `ClockPolicy`: budget, basis, temperature.
        seed, verbose, tensorboard_log: as for SB3's algorithms.
        device: "cpu" (or "auto", which is the same here).

    Raises:
        ValueError: for an environment or a value that does not fit; the message says which part.

    Source: Huang, Tang, Zhou, arXiv:2607.02137; Jia & Zhou, JMLR 23 (2022).
    """

    policy_aliases = {"ClockPolicy": ClockPolicy, "MlpPolicy": ClockPolicy}  # noqa: RUF012
    policy: ClockPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[ClockPolicy],
        env: GymEnv | str | None,
        learning_rate: Any = 0.03,
        critic: str | Fit = "least_squares",
        trace: float = 1.0,
        policy_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        verbose: int = 0,
        tensorboard_log: str | None = None,
        device: str = "cpu",
        _init_setup_model: bool = True,
    ) -> None:
        if str(device) not in ("cpu", "auto"):
            raise ValueError(f"ARTRL runs on the CPU, because its policy is tiny: leave out device={str(device)!r}")
        self.critic = LinearCritic(critic)
        self.trace = require_number("trace", trace, 0, 1)
        n_steps = 0
        if env is not None:  # SB3 loads a model without an environment
            env = self._wrap_env(maybe_make_env(env, verbose), verbose)
            clock = _clock_arguments(env)
            policy_kwargs, n_steps = {**clock, **(policy_kwargs or {})}, clock["max_steps"]
        super().__init__(
            policy,  # type: ignore[arg-type]  # it has all that SB3's rollouts call
            env,  # type: ignore[arg-type]
            learning_rate,
            n_steps=n_steps,
            gamma=1.0,
            gae_lambda=1.0,
            ent_coef=0.0,
            vf_coef=0.0,
            max_grad_norm=np.inf,
            use_sde=False,
            sde_sample_freq=-1,
            policy_kwargs=policy_kwargs,
            seed=seed,
            verbose=verbose,
            tensorboard_log=tensorboard_log,
            device="cpu",
            _init_setup_model=_init_setup_model,
        )

    def _setup_learn(self, *args: Any, **kwargs: Any) -> tuple[int, BaseCallback]:
        assert self.env is not None
        for name, value in _clock_arguments(self.env).items():
            if name != "columns" and getattr(self.policy, name) != value:
                raise ValueError(
                    f"this ARTRL was made for an environment with {name} = {getattr(self.policy, name)}, not {value}: "
                    f"make a new one for this environment"
                )
        # A rollout has whole episodes. A callback may have stopped the last rollout in the middle, so begin new ones.
        self._last_obs = None
        return super()._setup_learn(*args, **kwargs)

    def learn(  # type: ignore[override]
        self, total_timesteps: int, callback: MaybeCallback = None, tb_log_name: str = "ARTRL", **kwargs: Any
    ) -> ARTRL:
        """Learn, as SB3's other algorithms do."""
        super().learn(total_timesteps, callback, tb_log_name=tb_log_name, **kwargs)
        return self

    def train(self) -> None:
        """One update from one rollout of whole episodes."""
        self._update_learning_rate(self.policy.optimizer)
        buffer = self.rollout_buffer
        count, lanes = buffer.rewards.shape  # (n, E)
        observations = torch.as_tensor(buffer.observations).reshape(count * lanes, -1)
        instant = self.policy.instant(observations)
        position = instant.position.reshape(count, lanes)
        reached = torch.cat([position[1:], torch.ones(1, lanes)])
        speed = (reached - position) * count  # θ, (n, E)
        measured = -torch.as_tensor(buffer.rewards) * count / speed.clamp(min=STANDSTILL) ** 2
        if float(self.policy.unit) == 0:
            self.policy.unit.fill_(float((measured * speed**2).mean()))
        # Where the clock stands still, Q = −r/θ² is not defined. Use the profile there.
        known = self.policy.profile(position)
        stiffness = torch.where(speed > STANDSTILL, measured / self.policy.unit, known).clamp(min=CLAMP)
        precision = self.policy.precision(position)  # of the noise that was drawn, so before the profile changes
        self._learn_stiffness(position, stiffness)
        mean = self.policy.mean(instant).reshape(count, lanes)
        if not self.policy.keeps_budget:  # speeds that the policy chose, before the end of the clock bounds them
            actions = torch.as_tensor(buffer.actions).reshape(-1)
            speed = torch.cat([self.policy.speed(instant, actions).reshape(count, lanes)[:-1], mean.detach()[-1:]])
        # ψ(T). For the multiplier's actor use its mean, which the end of the clock does not bound.
        end = position[-1] + mean.detach()[-1] / count if self.policy.keeps_budget else mean.detach().mean(dim=0)
        clock_end = float(end.mean())
        rewards = self._rewards(stiffness, speed, clock_end)
        advantages = self._advantages(instant, rewards)
        score = (speed - mean.detach()) * precision
        # The last step lands with any action, so there is nothing to learn from it.
        loss = -(score * advantages * mean)[:-1].sum() / lanes
        self.policy.optimizer.zero_grad()
        loss.backward()
        self.policy.optimizer.step()
        self._n_updates += 1
        if not self.policy.keeps_budget:
            self.policy.multiplier += MULTIPLIER_RATE * (clock_end - 1)
        self.logger.record("art_rl/cost", float(-(rewards - self.policy.temperature / count).sum(dim=0).mean()))
        self.logger.record("art_rl/clock_end", clock_end)
        self.logger.record("art_rl/multiplier", self._diagnosed_multiplier(stiffness, mean.detach()))

    def levels(self, num_steps: int) -> np.ndarray:
        """(K+1,) noise levels with a trailing 0: the mean clock at K equal steps, with the latents' features at 0."""
        with torch.no_grad():
            levels = self.policy.clock.sigma(self.policy.actor.positions(num_steps).double()).numpy()
        levels[0], levels[-1] = self.policy.clock.sigma_max, 0.0
        return levels

    def policy_for(self, num_steps: int) -> Policy:
        """The deterministic policy for environments of another (largest) budget K: observations to (E, 1) actions."""
        policy = copy.deepcopy(self.policy)
        policy.max_steps = num_steps

        def act(observation: Observed) -> np.ndarray:
            action: np.ndarray = policy(torch.as_tensor(observation), deterministic=True)[0].numpy()
            return action

        return act

    def _rewards(self, stiffness: torch.Tensor, speed: torch.Tensor, clock_end: float) -> torch.Tensor:
        """(n, E) r_k Δt = (−½(Q_k + Q_{k+1}) θ² − γ(θ − 1) + λ) Δt, Q by the trapezoidal rule.

        γ is the multiplier plus a multiple of E ψ(T) − 1, as in the method of multipliers (Hestenes, Powell 1969).
        """
        following = torch.cat([stiffness[1:], stiffness[-1:]])
        rate = -(stiffness + following) / 2 * speed**2 + self.policy.temperature
        if not self.policy.keeps_budget:
            rate = rate - (self.policy.multiplier + DAMPING * (clock_end - 1)) * (speed - 1)
        return rate / len(speed)

    def _advantages(self, instant: Instant, rewards: torch.Tensor) -> torch.Tensor:
        """(n, E) advantages, centred over the lanes at each step."""
        count, lanes = rewards.shape
        shape = (count, lanes)
        features = self.policy.value_features(instant).reshape(count, lanes, -1)
        features = np.concatenate([features, np.zeros_like(features[:1])])  # V(T) = 0
        batch = Batch(features, rewards.double().numpy(), np.ones(shape))
        self.critic.weights = self.policy.value_weights.numpy().copy()  # the policy saves and copies them
        delta = self.critic.fit(batch)
        self.policy.value_weights.copy_(torch.from_numpy(self.critic.weights))
        total, advantages = np.zeros(lanes), np.empty(shape)
        for k in reversed(range(count)):
            total = delta[k] + self.trace * total
            advantages[k] = total
        if lanes > 1:  # with one lane, the critic is the only baseline
            advantages -= advantages.mean(axis=1, keepdims=True)
        self.logger.record("art_rl/critic_residual", float(np.sqrt((delta**2).mean())))
        return torch.as_tensor(advantages, dtype=torch.float32)

    def _learn_stiffness(self, position: torch.Tensor, stiffness: torch.Tensor) -> None:
        """Move the profile of E|Q| by position towards this batch's kernel average."""
        nodes = torch.linspace(0, 1, len(self.policy.stiffness))
        kernel = torch.exp(-(((nodes[:, None] - position.reshape(1, -1)) / 0.02) ** 2) / 2) + 1e-12
        average = kernel @ stiffness.reshape(-1) / kernel.sum(dim=1)
        rate = 0.2 if self._n_updates else 1.0
        self.policy.stiffness += rate * (average.clamp(min=CLAMP) - self.policy.stiffness)

    def _diagnosed_multiplier(self, stiffness: torch.Tensor, mean: torch.Tensor) -> float:
        """γ of the budget: −2 |Q| θ at the end of the clock, where ∂V/∂ψ is 0 in m* = (∂V/∂ψ − γ)/(2|Q|)."""
        if not self.policy.keeps_budget:
            return float(self.policy.multiplier)
        return float(-2 * (stiffness[-1] * mean[-1]).mean())


def _clock_arguments(env: VecEnv) -> dict[str, Any]:
    """What the policy needs from the environment. Raises a ValueError if the environment does not fit."""
    if unwrap_vec_normalize(env) is not None:
        raise ValueError("ARTRL reads clock and costs from unscaled observations and rewards: leave out VecNormalize")
    try:
        core: Core = env.get_attr("core")[0]
    except AttributeError:
        raise ValueError(
            "ARTRL needs an ARTDiffusion environment: gym.make('ARTDiffusion-v0', …) or ARTDiffusionVecEnv"
        ) from None
    require_time(env.observation_space)
    names = core.observation.names(core.max_steps)
    if env.observation_space.shape != (len(names),):
        raise ValueError(
            f"ARTRL needs observations as the environment gives them, {len(names)} numbers, not of shape "
            f"{env.observation_space.shape}: leave out wrappers that change them"
        )
    action = core.action_map
    if not (isinstance(action, SpeedMap) and action.coordinate == "arctan"):
        raise ValueError(
            f"ARTRL steers the speed of an arctan clock: make the environment with action='speed_arctan', "
            f"not {action!r}"
        )
    if not isinstance(core.reward, Stiffness):
        raise ValueError(
            f"ARTRL learns from the paper's running cost: make the environment with reward='stiffness', "
            f"not {core.reward!r}"
        )
    if len(set(env.get_attr("config")[0].budgets)) > 1:
        raise ValueError(
            "ARTRL needs one K for all episodes of its environment: set num_steps to one number, for schedules of any K"
        )
    return {
        "clock": Clock.of(core.problem.denoiser),
        "max_steps": core.max_steps,
        "sharpness": action.sharpness,
        "columns": tuple(names.index(name) for name in LATENTS if name in names and name not in STEP_DEPENDENT),
    }
