"""Quick runs of `art-gym learn` on pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from art_gym.agents.learn import cost, learner, noises, report
from art_gym.agents.learn.trial import Trial
from art_gym.schedules import closed_forms

CHUNK = 8


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Few noises, rough endpoints and closed forms. Returns a list that gets the proof of each report."""
    proofs: list[Any] = []
    write = report.write_report
    for module in (noises, cost):
        monkeypatch.setattr(module, "CHUNK", CHUNK)
    monkeypatch.setattr(noises, "KEPT_FROM", np.inf)  # endpoints from disk would leave budget for more, by the clock
    monkeypatch.setattr(closed_forms, "ART_NODES", 12)
    monkeypatch.setattr(Trial.solve, "__defaults__", (6,))
    monkeypatch.setattr(report, "MORE_STEPS", (1.0, 2.0))
    monkeypatch.setattr(report, "REFERENCE_STEPS", 4)

    def writes(*arguments: Any) -> str:
        proofs.append(arguments[4])
        return write(*arguments)

    monkeypatch.setattr(learner, "write_report", writes)
    return proofs
