"""The prepared scripts run with a tiny network, on cpu."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 1e-5), ("bfloat16", 0.02), ("float16", 0.005)])
def test_our_loop_gives_what_the_bare_one_gives(dtype: str, rounding: float) -> None:
    found: dict[str, Any] = script("overhead").Overhead("tiny", dtype=dtype, batch=3, steps=4, repeats=1).run()
    assert found["difference"] < rounding
    assert found["parameters"] == 45_259
    assert found["overhead"] == pytest.approx(found["ours_seconds"] / found["bare_seconds"] - 1)


def test_the_large_network_has_a_hundred_million_parameters() -> None:
    network, _ = script("overhead").unet("large")
    assert sum(weights.numel() for weights in network.parameters()) == pytest.approx(100e6, rel=0.05)
