"""The critic finds a known value function by every martingale condition."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from art_gym.agents.continuous_time.critic import (
    CRITICS,
    Batch,
    LinearCritic,
    critic_features,
    differences,
    returns,
    temporal_difference,
)


def walk(lanes: int = 256, steps: int = 20) -> tuple[Batch, np.ndarray]:
    """A drifting state y with reward y Δt. V(t, y) = (1 − t) y + (1 − t)²/2 · drift, and noise averages out."""
    rng = np.random.default_rng(0)
    drift, step = 0.7, 1 / steps
    y, features, rewards = rng.standard_normal(lanes), [], []
    for k in range(steps + 1):
        left = 1 - k * step
        features.append(np.stack([left * y, np.full(lanes, left * (left - step))], axis=1))
        rewards.append(y * step)
        y = y + drift * step + 0.3 * np.sqrt(step) * rng.standard_normal(lanes)
    batch = Batch(np.array(features), np.array(rewards[:-1]), np.ones((steps, lanes)))
    return batch, np.array([1.0, drift / 2])  # E Σ_{j≥k} y_j Δ = left·y + drift Δ² n(n−1)/2 with n = left/Δ


@pytest.mark.parametrize("method", CRITICS)
def test_every_condition_finds_the_value(method: str) -> None:
    batch, truth = walk()
    weights = np.zeros(2)
    for _ in range(400):
        weights = CRITICS[method](batch, weights)
    np.testing.assert_allclose(weights, truth, atol=0.06)


def test_differences_sum_to_return_minus_value() -> None:
    batch, truth = walk(8)
    advantage = differences(batch, truth)[::-1].cumsum(axis=0)[::-1]
    np.testing.assert_allclose(advantage, returns(batch) - batch.features[:-1] @ truth, atol=1e-12)


def test_discounted_returns() -> None:
    batch = Batch(np.zeros((4, 1, 1)), np.ones((3, 1)), np.full((3, 1), 0.5))
    np.testing.assert_allclose(returns(batch)[:, 0], [1.75, 1.5, 1.0])


def test_value_is_zero_at_the_end() -> None:
    features = critic_features(np.array([1 - 1e-9]), np.array([1 - 1e-9]), np.ones((1, 2)))
    assert np.abs(features).max() < 1e-7


@pytest.mark.parametrize("trace", [0.0, 0.6, 1.0])
def test_eligibility_trace_is_the_forward_view(trace: float) -> None:
    """Σ_k ξ_k δ_k = Σ_k f_k Σ_{j≥k} (Π_{k≤i<j} λ e^{−βΔ_i}) δ_j, whatever the discounts."""
    rng = np.random.default_rng(4)
    steps, lanes, size = 6, 300, 3
    features = rng.standard_normal((steps + 1, lanes, size))
    discounts = rng.uniform(0.1, 1.0, (steps, lanes))
    batch = Batch(features, rng.standard_normal((steps, lanes)), discounts)
    delta = differences(batch, np.ones(size))
    forward = np.zeros(size)
    for k in range(steps):
        total, weight = np.zeros(lanes), np.ones(lanes)
        for j in range(k, steps):
            total += weight * delta[j]
            weight = weight * trace * discounts[j]
        forward += features[k].T @ total
    flat = features[:-1].reshape(-1, size)
    moments = flat.T @ flat
    step = temporal_difference(batch, np.ones(size), trace) - np.ones(size)
    np.testing.assert_allclose(moments @ step / (0.5 * (1 - trace) + 0.05), forward, rtol=1e-3)


def test_a_critic_with_a_trace_of_its_own() -> None:
    batch, _ = walk()
    critic = LinearCritic(partial(temporal_difference, trace=0.5))
    delta = critic.fit(batch)
    np.testing.assert_array_equal(critic.weights, temporal_difference(batch, np.zeros(2), 0.5))
    np.testing.assert_array_equal(delta, differences(batch, critic.weights))


@pytest.mark.parametrize("trace", [-0.1, 1.5, float("nan")])
def test_trace_out_of_range(trace: float) -> None:
    with pytest.raises(ValueError, match="trace must be a number from 0 to 1"):
        temporal_difference(walk(4)[0], np.zeros(2), trace)


def test_monte_carlo_is_half_of_the_way_to_least_squares() -> None:
    batch, _ = walk()
    start = np.array([3.0, -1.0])
    whole, half = (CRITICS[name](batch, start) for name in ("least_squares", "monte_carlo"))
    np.testing.assert_allclose(half, (start + whole) / 2)


def test_unknown_critic() -> None:
    with pytest.raises(ValueError, match="unknown critic 'sarsa': choose one of least_squares"):
        LinearCritic("sarsa")
