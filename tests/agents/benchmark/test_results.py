"""Lines of results: appended whole, never overwritten, and read back."""

from __future__ import annotations

from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from art_gym.agents.benchmark.results import Line, append, hash_of, numbers_of, plan_of, read
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.sampler import Sampler

LINE = Line("v1", "mine", "RL", "grid", "ring_2d", "euler", 5, 0, "abc", 10, 640, 0.25, 0.5, 1.5, "f00", [80.0, 1, 0])


def test_a_line_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "new" / "results.jsonl"
    unscored = replace(LINE, seed=1, score=None, sigmas=None)
    append(file, LINE)
    append(file, unscored)
    assert read([file]) == [LINE, unscored]
    assert read([tmp_path / "none.jsonl"]) == []


def test_what_stands_in_a_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append(file, LINE)
    before = file.read_bytes()
    append(file, replace(LINE, error=0.125))
    assert file.read_bytes().startswith(before)
    assert [line.error for line in read([file])] == [0.125]  # the later line of a key counts


def test_a_torn_line_is_left_out_and_the_next_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append(file, LINE)
    file.write_bytes(file.read_bytes() + LINE.to_json()[:40].encode())
    append(file, replace(LINE, seed=3))
    assert [line.seed for line in read([file])] == [0, 3]


def _append_many(file: Path, seed: int) -> None:
    for k in range(50):
        append(file, replace(LINE, seed=seed, num_steps=k))


def test_processes_do_not_mix_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    running = [get_context("spawn").Process(target=_append_many, args=(file, seed)) for seed in range(3)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert len(read([file])) == 150
    assert len(file.read_text().splitlines()) == 150


@pytest.mark.parametrize(("text", "said"), [("[1]", "line 1 is no result: it is not"), ('{"a": 1}', "line 1 is no")])
def test_another_file_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text(text + "\n")
    with pytest.raises(ValueError, match=said):
        read([file])


def test_the_hash_follows_the_settings_and_not_their_order() -> None:
    assert hash_of("a", {"x": 1, "y": 2}) == hash_of("a", {"y": 2, "x": 1})
    assert len({hash_of("a", {"x": 1}), hash_of("a", {"x": 2}), hash_of("b", {"x": 1})}) == 3


def test_plans_come_back() -> None:
    grid = np.array([80.0, 1.23456789, 0.0])
    assert plan_of(numbers_of(grid)) == (80.0, 1.234568, 0.0)
    assert plan_of(numbers_of(None)) is None
    made = Coefficients(grid, np.array([0.5, 1.0]), np.array([[0.0], [0.25]]))
    found = plan_of(numbers_of(made))
    assert isinstance(found, Sampler)
    assert found.told == (0.5, 1.0)
    assert found.weights == ((), (0.25,))
