"""LPIPS as a metric of `art-gym learn`: its images, and what is missing for it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from art_gym.agents.cli.main import main
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
from art_gym.agents.learn.lpips import BATCH, Lpips, load_lpips
from art_gym.tasks.registry import get_task

REQUEST = ["learn", "--task", "digits", "--metric", "lpips", "--no-progress"]


class Distance:
    """Mean absolute difference, with what it was given."""

    def __init__(self) -> None:
        self.given: list[torch.Tensor] = []

    def __call__(self, images: torch.Tensor, precise: torch.Tensor) -> torch.Tensor:
        self.given += [images, precise]
        return (images - precise).abs().mean(dim=(1, 2, 3))


@pytest.mark.parametrize("lowest", [0.0, -1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_the_form_that_lpips_takes(lowest: float, channels: int) -> None:
    rng, distance = np.random.default_rng(0), Distance()
    images = rng.uniform(lowest, 1, (BATCH + 3, channels, 8, 12)).astype(np.float32)
    precise = images.copy()
    precise[1] = lowest
    found = Lpips(distance)(images, precise, lowest)
    assert found.shape == (BATCH + 3,)
    assert np.flatnonzero(found).tolist() == [1]
    assert found[1] == pytest.approx((images[1] - lowest).mean() * 2 / (1 - lowest), rel=0.05)
    assert [len(given) for given in distance.given] == [BATCH, BATCH, 3, 3]
    for given in distance.given:
        assert given.shape[1:] == (3, 64, 96)
        assert given.min() >= -1
        assert given.max() <= 1
    assert (distance.given[1][1] == -1).all()  # black


def test_a_large_image_keeps_its_size() -> None:
    distance = Distance()
    Lpips(distance)(np.zeros((2, 3, 80, 72)), np.ones((2, 3, 80, 72)), 0.0)
    assert distance.given[0].shape == (2, 3, 80, 72)


@pytest.mark.parametrize("shape", [(2,), (4, 8, 8), (3, 5, 8, 8)])
def test_what_is_no_image_is_said(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"--metric lpips is for images of 1 or 3 channels, got shape"):
        Lpips(Distance())(np.zeros((2, *shape)), np.zeros((2, *shape)), 0.0)


def test_the_report_has_it(tmp_path: Path) -> None:
    task, metrics = get_task("digits"), {"lpips": Lpips(Distance())}
    budget, out = Budget(evaluations=40_000), tmp_path / "s.json"
    report = Learner(task, "digits", 4, "euler", budget, out, progress=False, metrics=metrics).run()
    assert "| schedule | error ± 95 % | lpips ± 95 % | learned is better on |" in report
    assert "The precise endpoints have lpips" not in report


def test_without_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    assert main([*REQUEST, "-o", str(tmp_path / "s.json")]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(
        "art-gym: --metric lpips needs torchmetrics and torchvision (ModuleNotFoundError): pip inst"
    )
    assert not list(tmp_path.iterdir())


def test_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before the model is loaded, and nothing is downloaded. A file that torch would have to trust is refused."""
    models = ModuleType("torchvision.models")
    models.AlexNet_Weights = SimpleNamespace(DEFAULT=SimpleNamespace(url="https://a.b/alexnet-1.pth"))  # type: ignore[attr-defined]
    if importlib.util.find_spec("torchvision") is None:
        monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match=r"lpips needs AlexNet's weights in .*alexnet-1\.pth: fetch them once"):
        load_lpips()
    file = tmp_path / "checkpoints" / "alexnet-1.pth"
    file.parent.mkdir()
    torch.save(Distance(), file)  # an object, whose class a pickle names
    with pytest.raises(ValueError, match=r"cannot read AlexNet's weights in .* \(UnpicklingError\): remove it"):
        load_lpips()
