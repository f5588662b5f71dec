"""Network files of EDM."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from art_gym.denoisers import from_edm


class Edm:
    """Stands for a network of NVLabs' EDM."""

    img_channels, img_resolution, sigma_min, sigma_max = 1, 4, 0.0, float("inf")

    def to(self, _: object) -> Edm:
        return self

    eval = requires_grad_ = lambda self, *_: self

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        return x / (1 + sigma[:, None, None, None] ** 2)


def edm_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "edm_stub", type(sys)("edm_stub"))
    sys.modules["edm_stub"].Edm = Edm  # type: ignore[attr-defined]
    monkeypatch.setattr(Edm, "__module__", "edm_stub")
    file = folder / "network.pkl"
    file.write_bytes(pickle.dumps({"ema": Edm()}))
    return file


def test_edm_pickles_need_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = edm_file(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="trust_pickle=True"):
        from_edm(file)
    denoiser = from_edm(file, trust_pickle=True)
    assert denoiser.shape == (1, 4, 4)
    assert (denoiser.sigma_min, denoiser.sigma_max) == (0.002, 80.0)
    np.testing.assert_allclose(denoiser(np.ones((2, 1, 4, 4), np.float32), np.ones(2, np.float32)), 0.5)
    with pytest.raises(ValueError, match="there is no file"):
        from_edm(tmp_path / "none.pkl")


def test_edm_files_that_cannot_be_loaded(tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.pkl"
    truncated.write_bytes(pickle.dumps({"ema": 1.0})[:8])
    with pytest.raises(ValueError, match=r"cannot load .*download it again if it is truncated"):
        from_edm(truncated, trust_pickle=True)
    foreign = tmp_path / "foreign.pkl"
    foreign.write_bytes(b"cdnnlib.util\nEasyDict\n.")  # a class of NVLabs' repository
    with pytest.raises(ValueError, match=r"No module named 'dnnlib'.*PYTHONPATH"):
        from_edm(foreign, trust_pickle=True)


def test_edm_labels_and_range_name_the_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One class or noise range does not get the precise endpoints of another."""
    file = edm_file(tmp_path, monkeypatch)
    labels = [None, torch.eye(3)[:1], torch.eye(3)[1:2]]
    found = {from_edm(file, trust_pickle=True, labels=label).fingerprint for label in labels}
    found |= {from_edm(file, trust_pickle=True, sigma_max=40.0).fingerprint}
    assert len(found) == 4
    assert None not in found
    with pytest.raises(ValueError, match="sigma_min=-1 is outside the range that the model knows, 0 to inf"):
        from_edm(file, trust_pickle=True, sigma_min=-1.0)
