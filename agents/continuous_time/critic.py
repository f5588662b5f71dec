"""A critic for continuous time that is linear in its weights, and the martingale conditions that fit it.

V is right when M_t = V(t, x_t) + ∫₀ᵗ r ds is a martingale (Jia & Zhou 2022). On a trajectory of n steps of length Δ_k,
with a discount rate β, that is E[ξ_k (e^{−βΔ_k} V_{k+1} − V_k + r_k Δ_k)] = 0 for all test functions ξ. The methods
differ in ξ and in how they solve the equations. Each is a function of the features and rewards of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from .checks import require_number


class Batch(NamedTuple):
    """E trajectories of n steps each.

    Attributes:
        features: (n+1, E, P) of the states; 0 for the last state if V ends at 0.
        rewards: (n, E) rewards of the steps, r_k Δ_k.
        discounts: (n, E) e^{−βΔ_k}.
    """

    features: np.ndarray
    rewards: np.ndarray
    discounts: np.ndarray


Fit = Callable[[Batch, np.ndarray], np.ndarray]  # from a batch and the (P,) weights so far to new (P,) weights
RIDGE = 1e-4  # share of the mean diagonal


def returns(batch: Batch) -> np.ndarray:
    """(n, E) discounted sums of the rewards from each step on."""
    total, result = np.zeros(batch.rewards.shape[1]), np.empty(batch.rewards.shape)
    for k in reversed(range(len(result))):
        total = batch.rewards[k] + batch.discounts[k] * total
        result[k] = total
    return result


def differences(batch: Batch, weights: np.ndarray) -> np.ndarray:
    """(n, E) martingale differences δ_k = e^{−βΔ} V_{k+1} − V_k + r_k Δ_k."""
    values = batch.features @ weights  # (n+1, E)
    differences: np.ndarray = batch.discounts * values[1:] - values[:-1] + batch.rewards
    return differences


def least_squares(batch: Batch, weights: np.ndarray) -> np.ndarray:
    """The minimiser of the martingale loss Σ (G_k − V_k)²: all returns of this batch at once."""
    return _solve(batch.features[:-1], batch.features[:-1], returns(batch))


def monte_carlo(batch: Batch, weights: np.ndarray) -> np.ndarray:
    """Go half of the way to `least_squares`, a damped step that remembers earlier batches.

    It is one gradient step on the martingale loss, in units of the features' second moments.
    """
    moved: np.ndarray = weights + 0.5 * (least_squares(batch, weights) - weights)
    return moved


def orthogonality(batch: Batch, weights: np.ndarray) -> np.ndarray:
    """Solve Σ ξ_k δ_k = 0 with the features as test functions ξ_k = ∂V/∂w (least-squares TD)."""
    now, after = batch.features[:-1], batch.features[1:]
    return _solve(now, now - batch.discounts[..., None] * after, batch.rewards)


def temporal_difference(batch: Batch, weights: np.ndarray, trace: float) -> np.ndarray:
    """CTD(λ), λ = ``trace``: one step along Σ ξ_k δ_k, normalised by the features' second moments.

    ξ_k = ∂V_k/∂w + λ e^{−βΔ_{k−1}} ξ_{k−1} is an eligibility trace; with λ = 0 it is ∂V_k/∂w alone. The sum is
    Σ_k ∂V_k/∂w (G_k^λ − V_k) in the forward view.
    """
    require_number("trace", trace, 0, 1)
    features, delta = batch.features[:-1], differences(batch, weights)
    eligibility = features[0]
    total = eligibility.T @ delta[0]
    for k in range(1, len(features)):
        eligibility = trace * batch.discounts[k - 1, :, None] * eligibility + features[k]
        total += eligibility.T @ delta[k]
    flat = features.reshape(-1, len(weights))
    moments = flat.T @ flat
    return weights + np.linalg.solve(moments + _ridge(moments), total) * (0.5 * (1 - trace) + 0.05)


def _solve(tests: np.ndarray, features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    size = features.shape[-1]
    flat = tests.reshape(-1, size)
    matrix = flat.T @ features.reshape(-1, size)
    return np.linalg.solve(matrix + _ridge(flat.T @ flat), flat.T @ targets.ravel())


def _ridge(moments: np.ndarray) -> np.ndarray:
    ridge: np.ndarray = RIDGE * np.trace(moments) / len(moments) * np.eye(len(moments))
    return ridge


CRITICS: dict[str, Fit] = {
    "least_squares": least_squares,
    "monte_carlo": monte_carlo,
    "orthogonality": orthogonality,
    "ctd_zero": partial(temporal_difference, trace=0.0),
    "ctd_lambda": partial(temporal_difference, trace=0.9),
}


def critic_features(time: np.ndarray, position: np.ndarray, state: np.ndarray) -> np.ndarray:
    """(…, P) features of (…) times in [0, 1), positions in [0, 1] and (…, Z) features of the latents.

    Each is (1 − t) times one of these: Legendre₃(t) ⊗ Legendre₄(ψ), v² Legendre₂(ψ), the latents' features, and those
    times ψ. v = (1 − ψ)/(1 − t) is the speed needed from now on; the remaining cost grows with v².
    """
    in_time = np.polynomial.legendre.legvander(2 * time - 1, 3)  # (…, 4)
    in_position = np.polynomial.legendre.legvander(2 * position - 1, 4)  # (…, 5)
    tensor = (in_time[..., :, None] * in_position[..., None, :]).reshape(*time.shape, -1)
    needed = np.minimum((1 - position) / (1 - time), 5.0)[..., None]
    parts = [tensor, needed**2 * in_position[..., :3], state, state * position[..., None]]
    features: np.ndarray = (1 - time)[..., None] * np.concatenate(parts, axis=-1)
    return features


class LinearCritic:
    """V = w · features, with V(T) = 0 by the factor 1 − t in every feature.

    V depends on clock time t and position ψ, and on the state x too if features of the latents are given.

    Args:
        method: a key of `CRITICS`, or a function of that kind such as ``partial(temporal_difference, trace=0.5)``.

    Raises:
        ValueError: for an unknown method.
    """

    def __init__(self, method: str | Fit = "least_squares") -> None:
        if isinstance(method, str) and method not in CRITICS:
            raise ValueError(f"unknown critic {method!r}: choose one of {', '.join(CRITICS)}")
        self.method = CRITICS[method] if isinstance(method, str) else method
        self.weights = np.zeros(0)

    def fit(self, batch: Batch) -> np.ndarray:
        """Improve the weights on a batch; returns the (n, E) martingale differences under the new ones."""
        if len(self.weights) != batch.features.shape[-1]:
            self.weights = np.zeros(batch.features.shape[-1])
        self.weights = self.method(batch, self.weights)
        return differences(batch, self.weights)
