"""ART's theory of the Gaussian policy holds up to a bias of O(1/n) in n steps of the clock."""

from __future__ import annotations

import numpy as np
import pytest

from art_gym.agents.studies.theory import _values, extrapolated
from art_gym.tasks.registry import resolve


def test_the_gap_falls_like_one_over_the_steps() -> None:
    """Gap · n is about constant on Mixture1D at t = 0, and extrapolation removes the bias."""
    steps = (8, 16, 32)
    records = [_values(resolve("mixture_1d"), n) for n in steps]
    scaled = [n * record["gap"][0] for n, record in zip(steps, records, strict=True)]
    halves = [n * record["half"][0] for n, record in zip(steps, records, strict=True)]
    assert np.ptp(scaled) < 0.2 * abs(np.mean(scaled)) + max(halves)
    assert abs(scaled[-1]) > 3 * halves[-1]  # the bias is significant
    limit = extrapolated(*records[-2:])
    assert abs(limit["gap"][0]) < 0.25 * abs(records[-1]["gap"][0]) + limit["half"][0]


def test_extrapolation() -> None:
    coarse, fine = ({"gap": [0.3 + 2 / n], "half": [half]} for n, half in ((10, 0.03), (20, 0.02)))
    limit = extrapolated(coarse, fine)
    assert limit["gap"] == pytest.approx([0.3])
    assert limit["half"] == pytest.approx([0.05])
