"""The mean clock speed m(t, x, ψ) > 0: two ways to meet the budget ∫ θ dt = 1."""

from __future__ import annotations

import torch
from torch import nn

NODES = 257  # of the quadrature over the position ψ
FASTEST_LOG = 6.0  # largest |log speed|, so that float32 loses no part of the clock


class Basis(nn.Module):
    """Normalised radial basis functions over the position; weights of 0 mean a log speed of 0 everywhere."""

    centres: torch.Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(0, 1, count))

    def forward(self, position: torch.Tensor) -> torch.Tensor:
        """(…, count) values at (…) positions; they sum to 1."""
        width = 1 / (len(self.centres) - 1)
        return torch.softmax(-(((position[..., None] - self.centres) / width) ** 2) / 2, dim=-1)


class LogSpeed(nn.Module):
    """g(ψ, z), linear in weights: each basis function's weight is affine in the features z of the state."""

    def __init__(self, basis: int, features: int) -> None:
        super().__init__()
        self.basis = Basis(basis)
        self.weights = nn.Parameter(torch.zeros(1 + features, basis))

    def forward(self, position: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """(B,) values at (B,) positions, for (B, Z) features."""
        mean: torch.Tensor = (self._weights(features) * self.basis(position)).sum(dim=-1)
        return mean

    def everywhere(self, positions: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """(B, M) values at the same (M,) positions for all (B, Z) features."""
        means: torch.Tensor = self._weights(features) @ self.basis(positions).T
        return means

    def _weights(self, features: torch.Tensor) -> torch.Tensor:
        return self.weights[0] + features @ self.weights[1:]  # (B, basis)


class Actor(nn.Module):
    """What both actors share: g, and the mean clock dψ/dt = e^{g} at constant features z."""

    nodes: torch.Tensor

    def __init__(self, basis: int, features: int) -> None:
        super().__init__()
        self.log_speed = LogSpeed(basis, features)
        self.register_buffer("nodes", torch.linspace(0, 1, NODES))

    def time(self, features: torch.Tensor) -> torch.Tensor:
        """(B, M): clock time I(ψ)/I(1) at the nodes, I(ψ) = ∫₀^ψ e^{−g}, for (B, Z) features."""
        log_speed = self.log_speed.everywhere(self.nodes, features).clamp(-FASTEST_LOG, FASTEST_LOG)
        density = torch.exp(-log_speed)  # (B, M)
        cumulative = torch.cumsum((density[:, 1:] + density[:, :-1]) / 2, dim=1)
        cumulative = torch.cat([torch.zeros_like(cumulative[:, :1]), cumulative], dim=1)
        return cumulative / cumulative[:, -1:]

    def positions(self, num_steps: int) -> torch.Tensor:
        """(K+1,) positions from 0 to 1 at equal steps of the clock, for features of 0: the distilled grid.

        The mean clock runs to position 1, and the time that it takes is the unit. This rescales a clock that is too
        fast or too slow to arrive at t = 1.
        """
        features = torch.zeros(1, self.log_speed.weights.shape[0] - 1)
        return _invert(self.time(features), torch.linspace(0, 1, num_steps + 1)[None])[0]


class NormalisedActor(Actor):
    """An actor that steps in its own clock, so that the budget holds by construction. γ is only a diagnostic.

    With I(ψ) = ∫₀^ψ e^{−g}, a step covers a share Δt/(1 − t) of the rest of I: m = (ψ′ − ψ)/Δt with
    ψ′ = I⁻¹(I(ψ) + (I(1) − I(ψ)) Δt/(1 − t)). It assumes that the features stay constant until the end.
    """

    def forward(
        self, position: torch.Tensor, steps_left: torch.Tensor, num_steps: torch.Tensor, features: torch.Tensor
    ) -> torch.Tensor:
        """(B,) mean speeds for (B,) positions, steps left and budgets K, and (B, Z) features."""
        time = self.time(features)  # (B, M)
        at = _interpolate(time, position[:, None])[:, 0]
        reached = at + (1 - at) / steps_left
        return (_invert(time, reached[:, None])[:, 0] - position) * num_steps


class MultiplierActor(Actor):
    """The paper's actor, m = e^{g}. Only the multiplier γ makes it meet the budget.

    g depends only on the position (and features), so m ignores the time t and the mean clock is autonomous.
    """

    def forward(
        self, position: torch.Tensor, steps_left: torch.Tensor, num_steps: torch.Tensor, features: torch.Tensor
    ) -> torch.Tensor:
        """(B,) mean speeds; the steps left and the budget do not matter."""
        return torch.exp(self.log_speed(position, features))


ACTORS: dict[str, type[NormalisedActor] | type[MultiplierActor]] = {
    "normalised": NormalisedActor,
    "multiplier": MultiplierActor,
}


def _interpolate(values: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Values (1 or B, M) on even nodes of [0, 1], interpolated linearly at (B, P) positions."""
    last = values.shape[1] - 1
    index = (position * last).floor().clamp(0, last - 1).long()
    share = position * last - index
    rows = values.expand(len(position), -1)
    low, high = rows.gather(1, index), rows.gather(1, index + 1)
    return low + share * (high - low)


def _invert(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Positions (B, P) at which increasing values (1 or B, M) on even nodes of [0, 1] reach (B, P) targets."""
    last = values.shape[1] - 1
    rows = values.expand(len(targets), -1).contiguous()
    index = (torch.searchsorted(rows.detach(), targets.detach().contiguous()) - 1).clamp(0, last - 1)
    low, high = rows.gather(1, index), rows.gather(1, index + 1)
    return ((index + (targets - low) / (high - low)) / last).clamp(0, 1)
