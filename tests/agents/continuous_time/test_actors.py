"""Actors: budgets are met, distilled grids are grids, the clock's coordinate is exact at its ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from art_gym.agents.continuous_time.actors import ACTORS, NODES, NormalisedActor
from art_gym.agents.continuous_time.clock import Clock

CLOCK = Clock(0.002, 80.0, 0.5)


def test_clock_is_its_own_inverse() -> None:
    sigma = torch.logspace(-2.6, 1.9, 50, dtype=torch.float64)
    torch.testing.assert_close(CLOCK.sigma(CLOCK.position(sigma)), sigma)
    assert float(CLOCK.position(torch.tensor(0.0))) == 1.0
    assert float(CLOCK.position(torch.tensor(80.0))) == pytest.approx(0.0, abs=1e-6)


def randomised(kind: str, seed: int, features: int = 0) -> torch.nn.Module:
    actor = ACTORS[kind](12, features)
    with torch.no_grad():
        actor.log_speed.weights += torch.randn(actor.log_speed.weights.shape, generator=torch.manual_seed(seed))
    return actor


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), steps=st.integers(1, 40), features=st.integers(0, 3))
def test_normalised_actor_spends_its_budget(seed: int, steps: int, features: int) -> None:
    actor = randomised("normalised", seed, features)
    state = torch.randn(1, features, generator=torch.manual_seed(seed))
    position, budget = torch.zeros(1), torch.tensor([float(steps)])
    with torch.no_grad():
        for k in range(steps):
            speed = actor(position, budget - k, budget, state)
            assert float(speed) >= 0
            position = position + speed / steps
    assert float(position) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("kind", ACTORS)
def test_distilled_positions_are_a_grid(kind: str) -> None:
    positions = randomised(kind, 3).positions(18).detach().numpy()
    assert positions[0] == 0
    assert positions[-1] == pytest.approx(1, abs=1e-6)
    assert (np.diff(positions) > 0).all()


@pytest.mark.parametrize("speed", [0.5, 1.3, 4.0])
def test_a_clock_that_is_too_fast_or_too_slow_is_rescaled(speed: float) -> None:
    """An even clock of any speed distils to even positions, without a crowd at the end."""
    actor = ACTORS["multiplier"](12, 0)
    with torch.no_grad():
        actor.log_speed.weights.fill_(float(np.log(speed)))
        positions = actor.positions(10)
    np.testing.assert_allclose(positions, np.linspace(0, 1, 11), atol=1e-5)


def test_multiplier_ignores_time() -> None:
    actor = randomised("multiplier", 2)
    position, state = torch.tensor([0.3, 0.3]), torch.zeros(2, 0)
    speeds = actor(position, torch.tensor([9.0, 2.0]), torch.tensor([10.0, 10.0]), state)
    assert speeds[0].item() == speeds[1].item()


def test_as_many_lanes_as_nodes() -> None:
    actor = randomised("normalised", 2)
    state, steps = torch.zeros(NODES, 0), torch.full((NODES,), 4.0)
    assert actor(torch.linspace(0, 0.9, NODES), steps, steps, state).shape == (NODES,)


def test_mean_path_is_the_distilled_grid() -> None:
    actor = randomised("normalised", 5)
    assert isinstance(actor, NormalisedActor)
    position, path = torch.zeros(1), [0.0]
    with torch.no_grad():
        for k in range(10):
            position = (
                position + actor(position, torch.tensor([10.0 - k]), torch.tensor([10.0]), torch.zeros(1, 0)) / 10
            )
            path.append(float(position))
    np.testing.assert_allclose(path, actor.positions(10).detach(), atol=1e-4)
