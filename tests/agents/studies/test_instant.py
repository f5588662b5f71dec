"""The study of schedules from one probe."""

from __future__ import annotations

from art_gym.agents.studies.instant import METHODS, on_models, on_probe, on_task, tables


def test_its_measures_and_tables() -> None:
    key = {"solver": "euler", "num_steps": 5}
    task = {"task": "ring_2d", **key, **on_task("ring_2d", "euler", 5)}
    models = {"models": 2, **key, **on_models([0, 1], "euler", 5)}
    probes = {"noises": 4, "levels": 24, "models": 2, **on_probe(4, 24, [0, 1])}
    assert {*task["errors"]} == {*models["errors"]} == {*METHODS}
    assert task["errors"]["best grid"] < task["errors"]["EDM"]
    for best, *others in zip(*(models["errors"][name] for name in METHODS[::-1]), strict=True):
        assert best <= min(others) * 1.001
    text = tables([task, models, probes])
    assert f"| {task['errors']['instant']:.4f} |" in text
    assert f"| 4 | 24 | {probes['evaluations']} | 1.000 |" in text
