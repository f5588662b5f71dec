"""The study of schedules from one probe."""

from __future__ import annotations

from art_gym.agents.studies.instant import METHODS, SAMPLER, on_budget, on_models, on_probe, on_task
from art_gym.agents.studies.instant_tables import tables


def test_its_measures_and_tables() -> None:
    key = {"solver": "dpmpp_2m", "num_steps": 5}
    task = {"task": "ring_2d", **key, **on_task("ring_2d", "dpmpp_2m", 5)}
    models = {"models": 2, **key, **on_models([0, 1], "dpmpp_2m", 5)}
    probes = {"noises": 4, "levels": 24, "models": 2, **on_probe(4, 24, [0, 1])}
    budget = {"budget": 500, "models": 2, **on_budget(500, [0, 1])}
    assert {*task["errors"]} == {*METHODS, SAMPLER}
    assert {*models["errors"]} < {*METHODS, SAMPLER}
    assert task["errors"]["best grid"] < task["errors"]["EDM"]
    for best, *others in zip(*(models["errors"][name] for name in ("best grid", "instant", "EDM")), strict=True):
        assert best <= min(others)
    text = tables([task, models, probes, budget], ["ring_2d"], METHODS, SAMPLER)
    assert f"{task['errors']['instant']:.4f}" in text
    assert f"| 4 | 24 | {probes['evaluations']} | 1.000 |" in text
    assert f"| 500 | {budget['evaluations']} | 1.000 |" in text
