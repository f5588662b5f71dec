"""The Gaussian policy N(m, λ/|Q|) over clock speeds, as a policy of stable-baselines3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy

from .actors import ACTORS, NODES, MultiplierActor, NormalisedActor
from .checks import require_number
from .clock import Clock
from .critic import critic_features

SLOWEST = 0.02  # share of the mean speed: noise must not stop the clock or turn it back
FASTEST = 0.98  # share of the rest of the clock
LEAST_TEMPERATURE = 1e-6  # λ: without noise the policy learns nothing, and 1/λ weighs its update


class Instant(NamedTuple):
    """The clock in an observation: (B,) progress t, position ψ, steps left and K; (B, Z) latent features."""

    time: torch.Tensor
    position: torch.Tensor
    steps_left: torch.Tensor
    num_steps: torch.Tensor
    features: torch.Tensor


class ClockPolicy(BasePolicy):
    """Maps observations to clock speeds, and these to the environment's actions.

    Args:
        observation_space, action_space, lr_schedule: as SB3 gives them.
        clock: the coordinate.
        max_steps: largest budget of the training environment.
        sharpness: of the environment's clock-speed map, which maps a to e^{sharpness·a} times the speed that would
            cover the rest of the clock evenly.
        columns: those of the observation with the latents' features z. Without any (as shipped, with "time" alone), m
            and V depend on clock time t and position ψ only. With them, m and V depend on the state x through z.
        budget: "normalised" or "multiplier", see `actors`.
        basis: radial basis functions over the position, at least 2.
        temperature: λ > 0, in units of the initial E[|Q|θ²].

    Raises:
        ValueError: for an unknown budget, or a basis or temperature out of range.
    """

    actor: NormalisedActor | MultiplierActor
    stiffness: torch.Tensor
    unit: torch.Tensor
    multiplier: torch.Tensor
    value_weights: torch.Tensor
    optimizer: torch.optim.Optimizer

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Callable[[float], float],
        clock: Clock,
        max_steps: int,
        sharpness: float,
        columns: tuple[int, ...] = (),
        budget: str = "normalised",
        basis: int = 16,
        temperature: float = 0.0625,
        use_sde: bool = False,
    ) -> None:
        super().__init__(observation_space, action_space)
        if budget not in ACTORS:
            raise ValueError(f"unknown budget {budget!r}: choose one of {', '.join(ACTORS)}")
        if not isinstance(basis, int):
            raise ValueError(f"basis must be a whole number of functions, got {basis!r}")
        require_number("basis", basis, 2)
        require_number("temperature", temperature, LEAST_TEMPERATURE)
        self.clock, self.max_steps, self.sharpness, self.columns = clock, max_steps, sharpness, tuple(columns)
        self.budget, self.basis, self.temperature = budget, basis, temperature
        self.actor = ACTORS[budget](basis, len(self.columns))
        # E|Q| by position, learned from the rollouts; in units in which E[|Q|θ²] = 1 at first
        self.register_buffer("stiffness", torch.ones(NODES))
        self.register_buffer("unit", torch.zeros(()))  # of |Q|; 0 until the first rollout sets it
        self.register_buffer("multiplier", torch.tensor(-2.0))  # γ: −2 E[|Q|θ²] at the start
        columns_of_value = critic_features(np.zeros(1), np.zeros(1), np.zeros((1, len(self.columns)))).shape[1]
        self.register_buffer("value_weights", torch.zeros(columns_of_value, dtype=torch.float64))  # of the critic
        self.optimizer = torch.optim.Adam(self.actor.parameters(), lr=lr_schedule(1))

    def instant(self, observation: torch.Tensor) -> Instant:
        """Read the clock off (B, features) observations, whose first three elements are the group "time"."""
        time, remaining, scaled = observation[:, 0], observation[:, 1], observation[:, 2]
        ratio = self.clock.sigma_max / self.clock.sigma_min
        sigma = self.clock.sigma_min * ratio**scaled
        # After the end of an episode (or for zeros) no step is left. Count one, so that m is a number.
        steps_left = (remaining * self.max_steps).clamp(min=1)
        num_steps = steps_left / (1 - time).clamp(min=1 / self.max_steps)
        # Leave 10⁻⁶ of the clock for float32 rounding, so that a position never passes the end.
        position = self.clock.position(sigma).clamp(0, 1 - 1e-6)
        return Instant(time, position, steps_left, num_steps, observation[:, list(self.columns)].clamp(-3, 3) / 3)

    def mean(self, instant: Instant) -> torch.Tensor:
        """(B,) mean clock speeds."""
        mean: torch.Tensor = self.actor(instant.position, instant.steps_left, instant.num_steps, instant.features)
        return mean

    def precision(self, position: torch.Tensor) -> torch.Tensor:
        """(…) |Q|/λ, the inverse variance of the speed. |Q| is its mean at a position, known before the step."""
        return self.profile(position) / self.temperature

    def profile(self, position: torch.Tensor) -> torch.Tensor:
        """(…) E|Q| at positions."""
        return self.stiffness[(position * (NODES - 1)).round().long()]

    def forward(
        self, observation: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, 1) actions, and zeros for the values and log probabilities that SB3's rollouts ask for."""
        with torch.no_grad():
            instant = self.instant(observation)
            mean = self.mean(instant)
            speed = mean
            if not deterministic:
                speed = mean + torch.randn_like(mean) / self.precision(instant.position).sqrt()
            speed = torch.maximum(speed, SLOWEST * mean)
            if self.keeps_budget:
                left = (1 - instant.position) * instant.num_steps
                # the last step lands with any action: it takes the rest
                speed = torch.minimum(speed, torch.where(instant.steps_left > 1.5, FASTEST * left, left))
            zeros = torch.zeros_like(speed)
        return self._action(instant, speed)[:, None], zeros[:, None], zeros

    @property
    def keeps_budget(self) -> bool:
        """Whether the actor meets the budget by construction."""
        return isinstance(self.actor, NormalisedActor)

    def speed(self, instant: Instant, action: torch.Tensor) -> torch.Tensor:
        """(B,) clock speeds that the policy meant by (B,) actions, before the environment bounds them."""
        left = (1 - instant.position) * instant.num_steps
        return torch.exp(self.sharpness * action) * left / instant.steps_left

    def _action(self, instant: Instant, speed: torch.Tensor) -> torch.Tensor:
        left = (1 - instant.position) * instant.num_steps
        return torch.log(speed * instant.steps_left / left) / self.sharpness

    def predict_values(self, observation: torch.Tensor) -> torch.Tensor:
        """(B, 1) the critic's V, in units in which E[|Q|θ²] = 1 at first; zeros until it has been fitted."""
        with torch.no_grad():
            features = self.value_features(self.instant(observation))
        return torch.as_tensor(features @ self.value_weights.numpy(), dtype=torch.float32)[:, None]

    def value_features(self, instant: Instant) -> np.ndarray:
        """(B, P) features of the critic."""
        time = instant.time.clamp(max=1 - 1e-6)  # t is 1 after the end of an episode
        return critic_features(time.numpy(), instant.position.numpy(), instant.features.numpy())

    def _predict(self, observation: torch.Tensor, deterministic: bool = False) -> torch.Tensor:  # type: ignore[override]
        action: torch.Tensor = self(observation, deterministic)[0]
        return action

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": _no_rate,
            "clock": self.clock,
            "max_steps": self.max_steps,
            "sharpness": self.sharpness,
            "columns": self.columns,
            "budget": self.budget,
            "basis": self.basis,
            "temperature": self.temperature,
        }


def _no_rate(_: float) -> float:
    """The learning rate of a policy that is loaded for use only. A function pickles, a lambda does not."""
    return 0.0
