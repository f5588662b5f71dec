"""The pictures of a run are PNG images with something on them."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from art_gym.agents.reports import pictures, sampler_pictures, style
from art_gym.agents.reports.comparison import HAND_MADE, ORACLE, SAMPLER_ORACLE, TUNED, label, tuned_label
from art_gym.agents.reports.style import spread
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.sampler import Sampler
from art_gym.search.base import SEARCHES

GRIDS = {
    "EDM": np.array([80.0, 10.0, 1.0, 0.002, 0.0]),
    "arctan": np.array([80.0, 1.0, 0.5, 0.2, 0.0]),
    "learned": np.array([80.0, 2.0, 0.6, 0.1, 0.0]),
}


def check_png(file: Path, folder: Path) -> None:
    assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    image = imread(file)
    assert image.shape[1] == 1000
    assert image[..., :3].std() > 0.02
    border = np.concatenate([image[:3].ravel(), image[-3:].ravel(), image[:, :3].ravel(), image[:, -3:].ravel()])
    assert (border == 1).all()  # nothing is cut off
    assert [path.name for path in folder.iterdir()] == [file.name]  # no temporary file is left


def test_schedules(tmp_path: Path) -> None:
    check_png(pictures.schedules(tmp_path / "a.png", GRIDS, highlight="learned"), tmp_path)


def test_schedules_of_one_step(tmp_path: Path) -> None:
    check_png(pictures.schedules(tmp_path / "a.png", {**GRIDS, "one step": np.array([80.0, 0.0])}), tmp_path)


def test_many_schedules(tmp_path: Path) -> None:
    many = {f"a schedule called {i}": GRIDS["EDM"] * (1 + i) for i in range(20)}
    check_png(pictures.schedules(tmp_path / "a.png", many), tmp_path)


@pytest.mark.parametrize("count", [1, 4, 14])
def test_error_curves(tmp_path: Path, count: int) -> None:
    errors = {f"schedule {i}": {K: 0.1 * (1 + i) / K for K in (5, 7, 10, 18)} for i in range(count)}
    errors["one K"] = {7: 0.02}
    errors["failed"] = {5: float("nan"), 7: float("inf"), 10: 0.0}
    file = pictures.error_curves(tmp_path / "a.png", errors, highlight="schedule 0", oracle={5: 0.01, 7: 0.005})
    check_png(file, tmp_path)


def test_error_curves_of_one_k(tmp_path: Path) -> None:
    check_png(pictures.error_curves(tmp_path / "a.png", {"EDM": {7: 0.1}, "learned": {7: 0.01}}), tmp_path)


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 8, 8), (3, 6, 6)])
@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("count", [8, 40])
def test_samples(tmp_path: Path, shape: tuple[int, ...], with_data: bool, count: int) -> None:
    rng = np.random.default_rng(0)
    panels = {title: rng.standard_normal((count, *shape)) for title in ("EDM, 5 steps", "learned, 5 steps", "exact")}
    data = rng.standard_normal((100, *shape)) if with_data else None
    check_png(pictures.samples(tmp_path / "a.png", panels, data), tmp_path)


def test_long_titles_take_more_lines(tmp_path: Path) -> None:
    """Beside each other they would overlap."""
    images = np.random.default_rng(0).standard_normal((4, 1, 8, 8))
    heights = []
    for title in ("exact", "learned sampler of many words, K = 6"):
        file = pictures.samples(tmp_path / "a.png", {f"{title} {i}": images for i in range(6)})
        heights.append(imread(file).shape[0])
    assert heights[1] > heights[0] + 15


@pytest.mark.parametrize("count", [0, 1, 30])
def test_training_curve(tmp_path: Path, count: int) -> None:
    steps = 1000 * np.arange(count)
    errors = 0.1 + 0.1 * np.exp(-steps / 5000)
    errors[5:6] = np.nan
    errors[7:8] = 0
    references = {"EDM": 0.2, "oracle": 0.1, "failed": float("nan")}
    check_png(pictures.training_curve(tmp_path / "a.png", steps, errors, references), tmp_path)


def test_a_picture_replaces_an_older_one_and_makes_its_folder(tmp_path: Path) -> None:
    file = pictures.schedules(tmp_path / "run" / "a.png", GRIDS)
    before = file.read_bytes()
    pictures.schedules(file, {"EDM": GRIDS["EDM"]})
    assert file.read_bytes() != before
    check_png(file, file.parent)


def test_schedule_image() -> None:
    image = pictures.schedule_image(GRIDS["learned"])
    assert image.shape == (300, 400, 3)
    assert image.dtype == np.uint8
    assert np.ptp(image) > 100
    assert (image != pictures.schedule_image(GRIDS["EDM"])).any()
    assert pictures.schedule_image(np.array([80.0, 0.0])).shape == (300, 400, 3)


@pytest.mark.parametrize(("num_steps", "memory"), [(1, 1), (5, 3), (9, 8), (60, 2)])
def test_a_sampler(tmp_path: Path, num_steps: int, memory: int) -> None:
    rng = np.random.default_rng(0)
    levels = np.append(np.geomspace(80, 0.01, num_steps), 0.0)
    numbers = Coefficients(levels, np.exp(rng.normal(size=num_steps)), rng.normal(size=(num_steps, memory - 1)))
    check_png(sampler_pictures.sampler_picture(tmp_path / "a.png", Sampler.made(numbers, "given"), "mine"), tmp_path)


def test_a_sampler_is_drawn_beside_2m(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(sampler_pictures, "write_picture", lambda figure, file: drawn.append(figure) or file)
    sampler = Sampler((80.0, 6.0, 2.0, 0.5, 0.0), (0.1, 1.0, 1.5, 1.0), ((), (0.5,), (-0.2, 0.3), (0.1,)), "given")
    sampler_pictures.sampler_picture("nowhere.png", sampler, "mine")
    levels, weights, told = drawn[0].axes
    assert [bar.get_y() + bar.get_height() for bar in levels.patches] == pytest.approx(sampler.sigmas[:-1])
    assert [bar.get_y() for bar in levels.patches[:-1]] == pytest.approx(sampler.sigmas[1:-1])
    assert [bar.get_height() for bar in weights.patches] == [0.5, -0.2, 0.1, 0.3, 0.0]
    usual = Sampler.of(sampler.sigmas, "dpmpp_2m").coefficients().weights[1:, 0]
    assert [line[0, 1] for line in weights.collections[0].get_segments()] == pytest.approx(usual)
    assert [1 + bar.get_height() for bar in told.patches] == pytest.approx(sampler.told)


def test_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot highlight 'ppo': it is none of EDM, arctan, learned"):
        pictures.schedules(tmp_path / "a.png", GRIDS, highlight="ppo")
    with pytest.raises(ValueError, match="no error is positive and finite"):
        pictures.error_curves(tmp_path / "a.png", {"EDM": {5: float("nan")}})
    with pytest.raises(ValueError, match="panel"):
        pictures.samples(tmp_path / "a.png", {})
    assert not list(tmp_path.iterdir())


def test_spread_keeps_order_and_distance() -> None:
    heights = np.array([0.0, 0.01, 0.02, 0.5, 0.99, 1.0])
    apart = spread(heights, 0.1)
    assert (np.diff(apart) >= 0.1 - 1e-12).all()
    assert apart.min() >= 0
    assert apart.max() <= 1 + 1e-12
    assert apart[3] == pytest.approx(0.5)


def test_all_that_stands_in_a_report_has_a_style_of_its_own() -> None:
    baselines = [*map(label, HAND_MADE), *map(tuned_label, TUNED), "ART closed form"]
    assert set(style.KNOWN) == {*baselines, *SEARCHES}


def test_a_name_has_one_style_in_all_pictures_and_no_two_share_one() -> None:
    few = style.styles_of(["EDM ρ=7", "ART closed form", SAMPLER_ORACLE, "mine"], "mine")
    names = [*style.KNOWN, ORACLE, SAMPLER_ORACLE, "mine", "mine, policy", "another"]
    many = style.styles_of(names, "mine")
    assert all(many[name] == style for name, style in few.items())
    looks = [(str(style["color"]), str(style.get("linestyle"))) for style in many.values()]
    assert len(set(looks)) == len(names)
