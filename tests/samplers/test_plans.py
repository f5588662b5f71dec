"""What a program takes as a plan: levels, a schedule, a sampler, or the file of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from art_gym.samplers.plans import document, draw, is_sampler, levels_of, load
from art_gym.samplers.sampler import Sampler
from art_gym.schedules import Schedule
from art_gym.tasks.registry import get_task

GRID = Schedule((80.0, 2.0, 0.5, 0.0), "edm", "digits")
SAMPLER = Sampler((80.0, 2.0, 0.5, 0.0), (0.2, 1.0, 0.9), ((), (0.4,), (0.3, -0.1)), "defect", "digits", seed=3)


def test_every_kind_samples() -> None:
    digits = get_task("digits")
    noise = 80 * np.random.default_rng(0).standard_normal((2, 1, 8, 8))
    np.testing.assert_array_equal(draw(digits, GRID, noise, "euler"), draw(digits, GRID.to_sigmas(), noise, "euler"))
    by_sampler = draw(digits, SAMPLER, noise, "euler")
    np.testing.assert_array_equal(by_sampler, draw(digits, SAMPLER.coefficients(), noise, "heun"))
    for plan in (GRID, SAMPLER, SAMPLER.coefficients(), list(GRID.sigmas)):
        np.testing.assert_array_equal(levels_of(plan), GRID.sigmas)
    assert [is_sampler(plan) for plan in (GRID, SAMPLER, SAMPLER.coefficients())] == [False, True, True]


def test_documents_carry_provenance() -> None:
    assert document(np.array(GRID.sigmas), "cma", task="digits", seed=1) == Schedule(
        GRID.sigmas, "cma", "digits", seed=1
    )
    assert document(SAMPLER.coefficients(), "defect", task="digits", seed=3) == SAMPLER
    assert document(SAMPLER, "cma").method == "cma"


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    for plan in (GRID, SAMPLER):
        plan.save(tmp_path / "plan.json")
        assert load(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 3}', '{"format": "art_gym.sampler/2"}', "[" * 5000, "\x00", '"art_gym"']
)
def test_a_wrong_file_is_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"plan\.json") as caught:
        load(file)
    assert "\n" not in str(caught.value)
