"""The demo from beginning to end, on a task that takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from art_gym.agents.studies import demo as module
from art_gym.schedules import Schedule
from art_gym.search.base import SEARCHES


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::tqdm.TqdmExperimentalWarning")  # from the progress bar of stable-baselines3
def test_demo_trains_compares_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENV_ID", "ARTDiffusion-Gaussian1D-v0")
    monkeypatch.setattr(module, "TASK", "gaussian_1d")
    monkeypatch.setattr(module, "BUDGETS", (3, 4))
    monkeypatch.setattr(module, "TABLE_BUDGETS", (3, 4))
    text = module.demo(tmp_path, 0, quick=True)

    for method in ("uniform", "EDM ρ=7", "EDM, tuned", "log-SNR", "cosine", "arctan", "ART closed form", "**ppo**"):
        assert text.count(f"| {method} |") == 2  # K = 3 and 4
    assert all(f"| {rival} |" in text for rival in SEARCHES)
    assert text.count("EDM needs") + text.count("EDM does not reach") == 2
    assert text == (tmp_path / "report.md").read_text()
    for name in ("schedules", "errors", "samples", "training"):
        assert f"![{name}]({name}.png)" in text
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert "MNIST in 5 calls" in text
    assert (tmp_path / "config.yaml").is_file()
    assert list((tmp_path / "tensorboard").rglob("events*"))
    for k in (3, 4):
        schedule = Schedule.load(tmp_path / f"schedule_K{k}.json")
        assert schedule.num_steps == k
        assert schedule.method == "ppo"
        assert schedule.heldout_error is not None
