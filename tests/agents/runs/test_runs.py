"""A run's folder: which runs may continue in it, and the budgets that a run reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_gym.agents.runs.config import TrainConfig, reported_budgets
from art_gym.agents.runs.folder import Run
from art_gym.envs.config import load_config


def test_ranges_and_groups_are_the_same_after_a_turn_through_yaml(tmp_path: Path) -> None:
    """They are tuples on the command line and lists in config.yaml, which must not prevent a resume."""
    config = TrainConfig("ring_2d", env={"num_steps": (5, 7), "observation": ("time", "grid")})
    run = Run(tmp_path)
    run.prepare(config, {}, resume=False)
    run.write_history([])
    run.prepare(config, {}, resume=True)
    other = TrainConfig("ring_2d", env={"num_steps": (5, 8), "observation": ("time", "grid")})
    with pytest.raises(ValueError, match=r"another configuration: env was .*'num_steps'.*name another folder"):
        run.prepare(other, {}, resume=True)


@pytest.mark.parametrize(
    ("num_steps", "reported"),
    [(6, [6]), ((5, 18), [5, 7, 10, 18]), ((3, 6), [3, 5, 6]), ((11, 12), [11, 12]), ((7, 20), [7, 10, 18, 20])],
)
def test_both_ends_of_a_range_are_reported(num_steps: int | tuple[int, int], reported: list[int]) -> None:
    assert reported_budgets(load_config("ring_2d", num_steps=num_steps)) == reported


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match=r"cannot make the folder .*taken.*name another"):
        Run(tmp_path / "taken").prepare(TrainConfig("ring_2d"), {}, resume=False)
