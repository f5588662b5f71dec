"""The schedule file: round trip, resampling, exports, and errors for invalid files."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from art_gym.schedules import Schedule, make_grid
from art_gym.schedules.schedule import as_levels
from art_gym.tasks.registry import get_task


@pytest.fixture
def schedule() -> Schedule:
    levels = make_grid("edm", 6, get_task("digits"))
    return Schedule(tuple(levels), "edm", task="digits", solver="heun", seed=3, heldout_error=0.25)


def test_round_trip(schedule: Schedule, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "schedule.json"
    schedule.save(file)
    assert Schedule.load(file) == schedule
    assert [item.name for item in file.parent.iterdir()] == ["schedule.json"]  # no temporary file is left
    assert json.loads(file.read_text())["format"] == "art_gym.schedule/1"


def test_numbers_of_numpy_are_written(tmp_path: Path) -> None:
    schedule = Schedule((1.0, 0.0), "x", seed=np.int64(3), heldout_error=np.float32(0.25), flow=np.bool_(True))
    schedule.save(tmp_path / "schedule.json")
    loaded = Schedule.load(tmp_path / "schedule.json")
    assert loaded == schedule == Schedule((1.0, 0.0), "x", seed=3, heldout_error=0.25, flow=True)


@pytest.mark.parametrize("error", [np.nan, np.inf, -1.0])
def test_an_error_that_is_none(error: float) -> None:
    with pytest.raises(ValueError, match=f"heldout_error must be finite and at least 0, or None, got {error}"):
        Schedule((1.0, 0.0), "x", heldout_error=error)


def test_a_file_with_a_byte_order_mark(schedule: Schedule, tmp_path: Path) -> None:
    file = tmp_path / "from_an_editor.json"
    file.write_text(schedule.to_json(), encoding="utf-8-sig")
    assert Schedule.load(file) == schedule


@pytest.mark.parametrize("num_steps", [1, 2, 5, 6, 11, 40])
def test_resampling_is_linear_in_log_sigma(schedule: Schedule, num_steps: int) -> None:
    again = schedule.resample(num_steps)
    assert again.num_steps == num_steps
    assert again.sigmas[0] == 80
    if num_steps > 1:
        assert again.sigmas[-2] == schedule.sigmas[-2]  # both ends are exact
        position = np.linspace(0, 5, num_steps)
        below = np.minimum(position.astype(int), 4)
        logs = np.log(schedule.sigmas[:-1])
        expected = logs[below] + (position - below) * (logs[below + 1] - logs[below])
        np.testing.assert_allclose(np.log(again.sigmas[:-1]), expected, atol=1e-12)
    assert again.heldout_error == (0.25 if num_steps == 6 else None)  # it was measured for this grid only
    assert again.method == schedule.method + ("" if num_steps == 6 else ", resampled from K = 6")


def test_resampling_to_the_same_length_changes_nothing(schedule: Schedule) -> None:
    np.testing.assert_allclose(schedule.resample(6).sigmas, schedule.sigmas, rtol=1e-12)


def test_resampling_errors(schedule: Schedule) -> None:
    with pytest.raises(ValueError, match="steps to resample to must be a whole number from 1 to 1000, got 0"):
        schedule.resample(0)
    with pytest.raises(ValueError, match="cannot resample a schedule of K = 1 to 4 steps"):
        Schedule((80.0, 0.0), "one").resample(4)
    for wrong in (2.5, 6.0, "6", True):
        with pytest.raises(ValueError, match=f"must be a whole number from 1 to 1000, got {wrong!r}"):
            schedule.resample(wrong)
    assert schedule.resample(np.int64(4)) == schedule.resample(4)


def test_comfyui_line_parses_to_the_levels(schedule: Schedule) -> None:
    parsed = [float(part) for part in schedule.to_comfyui().split(",")]
    np.testing.assert_allclose(parsed, schedule.sigmas, rtol=1e-5)
    assert parsed[-1] == 0


def as_comfyui_reads(line: str) -> list[float]:
    """The numbers that ComfyUI's ManualSigmas finds in a text."""
    return [float(number) for number in re.findall(r"[-+]?(?:\d*\.*\d+)", line)]


@pytest.mark.parametrize("flow", [False, True])
def test_comfyui_reads_small_levels_and_those_of_flows(flow: bool) -> None:
    levels = np.array([999.0, 5.0, 3e-5, 0.0])
    line = Schedule(tuple(levels), "given", flow=flow).to_comfyui()
    expected = (levels / (1 + levels) if flow else levels).astype(np.float32)
    assert np.array_equal(np.array(as_comfyui_reads(line), np.float32), expected)


def test_comfyui_computes_in_float32() -> None:
    close = (999.0, 998.9, 0.0)
    found = np.array(as_comfyui_reads(Schedule(close, "given", flow=True).to_comfyui()), np.float32)
    assert found[0] > found[1]  # two equal levels such as "0.999, 0.999" make its 2M divide by 0
    with pytest.raises(ValueError, match=r"float32, where two of the levels are equal: \[1.0, 1.0, 0.0\]"):
        Schedule((1.00000001, 1.0, 0.0), "given").to_comfyui()


def test_diffusers_takes_the_levels(schedule: Schedule) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from diffusers and its imports
        from diffusers import EulerDiscreteScheduler

        scheduler = EulerDiscreteScheduler()
        scheduler.set_timesteps(sigmas=schedule.to_diffusers())
    assert len(scheduler.timesteps) == schedule.num_steps
    np.testing.assert_allclose(scheduler.sigmas.numpy(), schedule.sigmas, rtol=1e-6)


def test_diffusers_takes_a_flow_s_levels_from_its_scheduler_only() -> None:
    flow = Schedule((999.0, 5.0, 0.0), "given", flow=True)
    with pytest.raises(ValueError, match=r"a flow model's, .* depends on the shift of the scheduler: name the"):
        flow.to_diffusers()
    assert flow.to_sigmas() == [999.0, 5.0, 0.0]


def test_levels_of_a_schedule_and_of_numbers_are_the_same(schedule: Schedule) -> None:
    np.testing.assert_array_equal(as_levels(schedule), as_levels(schedule.to_sigmas()))


@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        ((1.0, 0.5), "trailing 0"),
        ((0.0,), "trailing 0"),
        ((), "trailing 0"),
        ((1.0, 2.0, 0.0), "decrease"),
        ((1.0, 1.0, 0.0), "decrease"),
        ((float("nan"), 1.0, 0.0), "finite"),
        ((float("inf"), 1.0, 0.0), "finite"),
    ],
)
def test_bad_levels(sigmas: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(sigmas, "bad")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "not JSON"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        ("[1, 2]", "not a schedule file"),
        ('{"sigmas": [1, 0], "method": "x"}', "'format' is a required property"),
        ('{"format": "art_gym.schedule/2", "sigmas": [1, 0], "method": "x"}', "another version of art_gym"),
        ('{"format": "art_gym.schedule/1", "sigmas": [1, 0], "method": "x", "seed": 3.5}', "3.5 is not of type"),
        ('{"format": "other/1", "sigmas": [1, 0], "method": "x"}', "format"),
        ('{"format": "art_gym.schedule/1", "sigmas": "1, 0", "method": "x"}', "sigmas"),
        ('{"format": "art_gym.schedule/1", "sigmas": [1, -1], "method": "x"}', "minimum"),
        ('{"format": "art_gym.schedule/1", "sigmas": [1, 0], "method": "x", "metod": 1}', "metod"),
        ('{"format": "art_gym.schedule/1", "sigmas": [1, 2, 0], "method": "x"}', "decrease"),
        ('{"format": "art_gym.schedule/1", "sigmas": [NaN, 1, 0], "method": "x"}', "NaN is no number in JSON"),
        (
            f'{{"format": "art_gym.schedule/1", "sigmas": [1{"0" * 400}, 0], "method": "x"}}',
            "too large",
        ),
        ("[" * 100_000, "more than 32 deep"),
    ],
)
def test_a_bad_file_is_named_with_the_reason(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"bad.json.*{message}"):
        Schedule.load(file)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": "3"}, "seed of a schedule must be a whole number or None, got '3'"),
        ({"seed": True}, "seed of a schedule must be a whole number or None, got True"),
        ({"method": None}, "method of a schedule must be text, got None"),
        ({"task": get_task("digits")}, "task of a schedule must be text or None"),
        ({"solver": ["euler"]}, "solver of a schedule must be text or None"),
        ({"flow": 1}, "flow of a schedule must be True or False, got 1"),
        ({"heldout_error": "1"}, "heldout_error of a schedule must be a number or None, got '1'"),
        ({"sigmas": "9530"}, "must be numbers, got '9530'"),
    ],
)
def test_what_a_file_could_not_hold_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(**{"sigmas": (1.0, 0.0), "method": "x", **values})  # type: ignore[arg-type]


def test_a_seed_may_be_written_as_a_float(tmp_path: Path) -> None:
    file = tmp_path / "by_javascript.json"
    file.write_text('{"format": "art_gym.schedule/1", "sigmas": [1, 0], "method": "x", "seed": 3.0}')
    assert repr(Schedule.load(file).seed) == "3"


def test_the_last_level_has_no_sign() -> None:
    assert Schedule((1.0, -0.0), "x").to_comfyui() == "1, 0"


def test_long_schedules_have_short_errors() -> None:
    with pytest.raises(ValueError, match=r"got 1.0 and then 1.0 at step 500$") as caught:
        Schedule((*np.linspace(2, 1, 501), 1.0, 0.0), "x")
    assert len(str(caught.value)) < 100


def test_a_file_without_a_version_has_none(tmp_path: Path) -> None:
    file = tmp_path / "written_by_hand.json"
    file.write_text('{"format": "art_gym.schedule/1", "sigmas": [1, 0], "method": "x"}')
    assert Schedule.load(file) == Schedule((1.0, 0.0), "x", version=None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*none\.json: No such file"):
        Schedule.load(tmp_path / "none.json")
