"""Compares our statistics with rliable's, in an environment of its own, since rliable pins old packages.

    python -m venv rliable && rliable/bin/pip install rliable "pandas<3"
    rliable/bin/python benchmarks/against_rliable.py

Where rliable is not installed it says so and ends.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

OURS = Path(__file__).parents[1] / "agents" / "benchmark" / "statistics.py"
DRAWS = 20_000


def load(file: Path) -> ModuleType:
    """The module in a file that needs numpy alone, without the package around it."""
    spec = importlib.util.spec_from_file_location("ours", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Compare. An AssertionError says where both differ."""
    try:
        from rliable import library, metrics
    except ImportError as error:
        print(f"skipped, since rliable is not installed ({error}): see the first lines of this file")
        return
    ours, rng = load(OURS), np.random.default_rng(0)
    first = rng.normal([0.2, 0.5, 0.9, -1.0], 0.3, (6, 4))  # (seeds, cells), as rliable has them
    second = rng.normal([0.3, 0.4, 0.7, -1.0], 0.3, (5, 4))
    cells, others = [*first.T], [*second.T]

    theirs = metrics.aggregate_iqm(first)
    assert np.isclose(ours.interquartile_mean(cells), theirs)
    print(f"interquartile mean {theirs:.6f}")

    thresholds = np.linspace(-2, 2, 81)
    by_method, _ = library.create_performance_profile({"a": first}, thresholds, reps=10)
    assert np.allclose(ours.performance_profile(cells, thresholds), by_method["a"])
    print("performance profile: the same at 81 scores")

    theirs = metrics.probability_of_improvement(first, second)
    assert np.isclose(ours.probability_of_improvement(cells, others), theirs)
    print(f"probability of improvement {theirs:.6f}")

    _, intervals = library.get_interval_estimates(
        {"a": first}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=DRAWS, random_state=np.random.RandomState(0)
    )
    bounds = ours.interquartile_interval(cells, draws=DRAWS)
    assert np.allclose(bounds, intervals["a"][:, 0], atol=0.01)  # of two different bootstraps
    print(f"interval of the mean {bounds[0]:.3f} to {bounds[1]:.3f}, theirs {intervals['a'][:, 0].round(3)}")


if __name__ == "__main__":
    main()
