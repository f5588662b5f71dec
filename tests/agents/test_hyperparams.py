"""Hyperparameters: numbers that depend on K, schedules, defaults by id."""

from __future__ import annotations

import pytest

from art_gym.agents.hyperparams import algorithm_class, load_hyperparams, resolve_numbers


def test_numbers():
    values = resolve_numbers({"a": "4K", "b": "1e-3", "c": "lin_2e-3", "d": {"e": "256"}, "f": "auto"}, num_steps=7)
    assert values["a"] == 28
    assert values["b"] == 1e-3
    assert repr(values["c"]) == "lin_0.002"
    assert [values["c"](progress) for progress in (1.0, 0.5, 0.0)] == [2e-3, 1e-3, 0.0]
    assert values["d"]["e"] == 256
    assert isinstance(values["d"]["e"], int)
    assert values["f"] == "auto"


@pytest.mark.parametrize("algo", ["ppo", "sac", "tqc"])
def test_a_discount_of_one_belongs_to_this_task(algo):
    assert load_hyperparams(algo, "ARTDiffusion-v0", 7)["gamma"] == 1.0


def test_classes_by_name():
    assert algorithm_class("TQC").__module__.startswith("sb3_contrib")
    with pytest.raises(ValueError, match=r"unknown algorithm 'none': choose one of cma, gradient, defect, a2c"):
        algorithm_class("none")
