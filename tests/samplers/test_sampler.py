"""The sampler file: what it holds, what is refused, and what a schedule is as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from art_gym.samplers.coefficients import follow
from art_gym.samplers.sampler import Sampler, as_sampler, check_told
from art_gym.schedules import Schedule, make_grid
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import get_task

GOOD = Sampler((80.0, 2.0, 0.5, 0.0), (0.2, 1.0, 0.9), ((), (0.4,), (0.3, -0.1)), "defect", "digits", seed=3)


def test_round_trip(tmp_path: Path) -> None:
    GOOD.save(tmp_path / "sampler.json")
    assert Sampler.load(tmp_path / "sampler.json") == GOOD
    assert json.loads(GOOD.to_json())["format"] == "art_gym.sampler/1"
    assert (GOOD.num_steps, GOOD.memory, GOOD.to_sigmas()) == (3, 3, [80.0, 2.0, 0.5, 0.0])
    assert GOOD.schedule.sigmas == GOOD.sigmas


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
def test_a_schedule_is_a_sampler_of_its_solver(solver: str) -> None:
    digits = get_task("digits")
    schedule = Schedule(tuple(make_grid("edm", 6, digits)), "edm", "digits", heldout_error=0.2)
    sampler = Sampler.of(schedule, solver)
    noise = 80 * np.random.default_rng(0).standard_normal((4, 1, 8, 8))
    expected = integrate(digits, np.array(schedule.sigmas), noise, solver)
    np.testing.assert_allclose(follow(digits, sampler.coefficients(), noise), expected, atol=1e-10)
    assert (sampler.sigmas, sampler.solver, sampler.heldout_error) == (schedule.sigmas, solver, 0.2)
    assert as_sampler(sampler, "euler") is sampler
    assert as_sampler(schedule, solver) == sampler


def test_a_solver_of_several_calls_is_none() -> None:
    with pytest.raises(ValueError, match="heun makes more than one denoiser call a step"):
        Sampler.of([80.0, 2.0, 0.5, 0.0], "heun")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigmas": (80.0, 2.0, 2.0, 0.0)}, "must be finite and decrease, got 2.0 and then 2.0 at step 1"),
        ({"sigmas": (80.0, 0.0)}, "a sampler of 1 steps needs as many entries in told, got 3"),
        ({"told": (1.0, 1.0)}, "a sampler of 3 steps needs as many entries in told, got 2"),
        ({"told": (1.0, -1.0, 1.0)}, "the factors in told must be above 0, got -1.0"),
        ({"told": (1.0, float("nan"), 1.0)}, "told of a sampler must hold finite numbers"),
        ({"weights": ((), (), (float("inf"),))}, "weights of a sampler must hold finite numbers"),
        ({"weights": ((), (), ("a",))}, "weights of a sampler must hold numbers"),
        ({"weights": "abc"}, "must be rows of numbers, got 'abc'"),
        ({"weights": ((), (1.0, 2.0), ())}, r"step 1 has 1 earlier estimates, and so at most 1 weights, got 2"),
        ({"heldout_error": -1.0}, "heldout_error must be finite and at least 0"),
        ({"method": 3}, "method of a sampler must be text, got 3"),
    ],
)
def test_what_is_no_sampler(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        replace(GOOD, **changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "art_gym.sampler/2"}, "'art_gym.sampler/2' is that of another version of art_gym"),
        ({"format": "art_gym.schedule/1"}, "it is a schedule file"),
        ({"told": [1.0, "x", 1.0]}, r"\$\.told\[1\]: 'x' is not of type 'number'"),
        ({"told": [1.0, 0.0, 1.0]}, r"\$\.told\[1\]: 0.0 is less than or equal to the minimum of 0"),
        ({"extra": 1}, "Additional properties are not allowed"),
        ({"weights": [[], [1.0, 2.0], []]}, "step 1 has 1 earlier estimates"),
    ],
)
def test_files_that_hold_none(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = tmp_path / "sampler.json"
    file.write_text(json.dumps({**json.loads(GOOD.to_json()), **changes}))
    with pytest.raises(ValueError, match=message) as refused:
        Sampler.load(file)
    assert str(refused.value).startswith(f"{file} is not a sampler file: ")
    assert "\n" not in str(refused.value)


def test_files_that_are_not_json(tmp_path: Path) -> None:
    file = tmp_path / "sampler.json"
    with pytest.raises(ValueError, match="cannot read the sampler file"):
        Sampler.load(file)
    file.write_text(GOOD.to_json().replace("0.4", "NaN"))
    with pytest.raises(ValueError, match="not JSON"):
        Sampler.load(file)


def test_another_number_of_steps() -> None:
    schedule = Schedule(tuple(make_grid("arctan", 6, get_task("digits"))), "arctan", "digits")
    sampler = Sampler.of(schedule, "dpmpp_2m")
    assert sampler.resample(6) is sampler
    assert sampler.resample(9).sigmas == schedule.resample(9).sigmas
    expected = Sampler.of(schedule.resample(9), "dpmpp_2m").coefficients().weights
    np.testing.assert_allclose(sampler.resample(9).coefficients().weights, expected)
    scaled = replace(sampler, told=(0.9,) * 6, weights=tuple(tuple(1.5 * w for w in row) for row in sampler.weights))
    np.testing.assert_allclose(scaled.resample(9).coefficients().weights, 1.5 * expected)
    assert scaled.resample(9).told == (0.9,) * 9
    with pytest.raises(ValueError, match="cannot resample this sampler to K = 4: each of its steps has weights"):
        GOOD.resample(4)


def test_levels_that_a_model_does_not_know() -> None:
    digits = get_task("digits")
    check_told(GOOD, digits, "digits")
    with pytest.raises(ValueError, match=r"tells digits the level 160, .* from 0.002 to 80"):
        check_told(replace(GOOD, told=(2.0, 1.0, 1.0)), digits, "digits")


@given(
    st.lists(st.floats(-5, 5), min_size=6, max_size=6),
    st.lists(st.floats(0.3, 2), min_size=4, max_size=4),
)
def test_samplers_are_exact_for_a_constant_denoiser(numbers: list[float], told: list[float]) -> None:
    weights = ((), (numbers[0],), tuple(numbers[1:3]), tuple(numbers[3:6]))
    sampler = Sampler((10.0, 3.0, 1.0, 0.2, 0.0), tuple(told), weights, "made")
    x = np.random.default_rng(0).standard_normal((3, 2))
    found = follow(lambda x, sigma: np.full_like(x, 0.7), sampler.coefficients(), 10 * x)
    np.testing.assert_allclose(found, 0.7, atol=1e-9)
