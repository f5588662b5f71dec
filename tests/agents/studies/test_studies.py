"""The studies give the paper's baselines to three digits, run from the command line, and resume."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_gym.agents.cli.main import main
from art_gym.agents.studies import network_grids, networks
from art_gym.agents.studies.discount import VARIANTS
from art_gym.agents.studies.table1 import GRIDS, PAPER, STEPS, closed_form, distance
from art_gym.evaluation.heldout import HELDOUT_BANK, evaluate_plan
from art_gym.measures.distances import energy_distance
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target

# |1 − std|, without the sampling error of the paper's 50,000 or so samples
NOISE_FREE = {
    "Uniform": (0.4648, 0.2117, 0.1103, 0.0565, 0.0230, 0.0116),
    "DPM": (0.6674, 0.3982, 0.2081, 0.1097, 0.0453, 0.0229),
    "EDM": (0.6617, 0.3158, 0.1736, 0.0908, 0.0373, 0.0188),
    "arctan (the optimum)": (0.3419, 0.1459, 0.0752, 0.0383, 0.0155, 0.0078),
}


@pytest.mark.parametrize("name", NOISE_FREE)
def test_baselines_of_table_1(name: str) -> None:
    found = [distance(GRIDS[name](k)) for k in STEPS]
    assert found == pytest.approx(NOISE_FREE[name], abs=1e-3)
    if name in PAPER:
        assert all(0.0005 < paper - ours < 0.005 for paper, ours in zip(PAPER[name], found, strict=True))


def test_closed_form_of_table_1() -> None:
    expected = (0.3492, 0.1493, 0.0771, 0.0392, 0.0159, 0.0080)
    assert [distance(closed_form(k)) for k in STEPS] == pytest.approx(expected, abs=1e-4)


# Shorten the slow parts, so that a study takes seconds.
SMALLER: dict[str, dict[str, object]] = {
    "theory": {"agents.studies.theory.TRAJECTORIES": 512},
    "transfer": {"agents.studies.transfer.STEPS": (5, 10, 18)},
    "dual": {"agents.studies.grids.STEPS": (5,)},
    "defect": {"agents.studies.grids.STEPS": (5,)},
    "discount": {
        "agents.training.progress.EVALUATIONS": 2,
        "agents.studies.discount.VARIANTS": {algo: dict([list(VARIANTS[algo].items())[-1]]) for algo in VARIANTS},
    },
    "per_sample": {
        "agents.training.progress.EVALUATIONS": 2,
        "agents.studies.per_sample.TIMESTEPS": 180_000,  # --quick takes a fiftieth
    },
    "choices": {"agents.studies.choices.SHARE": 0.5},
    "networks": {
        "agents.studies.network_measures.NOISES": {"digits_net": 64},
        "agents.studies.network_grids.TRAINING": {"digits_net": 32},
        "agents.studies.network_grids.EVALUATIONS": {"digits_net": 2000},
        "agents.studies.network_grids.DUAL_LATENTS": {"digits_net": 8},
        "agents.studies.network_measures.GROUPS": 2,
        "schedules.closed_forms.DUAL_NODES": 16,
    },
}


def make_smaller(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALLER.get(study, {}).items():
        module, _, attribute = f"art_gym.{name}".rpartition(".")
        if isinstance(known := getattr(import_module(module), attribute), dict) and study == "networks":
            for task, number in value.items():
                monkeypatch.setitem(known, task, number)
        else:
            monkeypatch.setattr(f"art_gym.{name}", value)


STUDIES = ("table1", "transfer", "per_sample", "dual", "theory", "defect", "discount", "networks", "choices", "floors")


@pytest.mark.parametrize("study", STUDIES)
def test_study_from_the_command_line(
    study: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_smaller(study, monkeypatch)
    arguments = ["reproduce", study, "--quick", "--seeds", "0", "--out", str(tmp_path)]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    records = (tmp_path / study / "results.jsonl").read_text()
    assert all(json.loads(line)["version"] for line in records.splitlines())
    assert (tmp_path / study / "table.md").read_text().strip() in table
    assert list((tmp_path / study).glob("*.png"))
    assert main(arguments) == 0  # all records exist, so nothing is computed again
    assert (tmp_path / study / "results.jsonl").read_text() == records


def test_networks_are_compared_by_denoiser_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heun's 2 and 3 steps are drawn at their 3 and 5 calls. Samples are compared by energy distance."""
    make_smaller("networks", monkeypatch)
    monkeypatch.setattr(networks, "SOLVERS", ("heun",))
    monkeypatch.setattr(network_grids, "DUAL", {})
    monkeypatch.setattr(networks, "ENOUGH_FOR_ENERGY", 64)
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(
        networks.pictures, "error_curves", lambda file, errors, **more: drawn.update(more, errors=errors)
    )
    table = networks.networks(tmp_path, (0,), quick=True)
    assert all(set(curve) == {3, 5} for curve in [*drawn["errors"].values(), drawn["oracle"]])
    assert "NFE" in drawn["x_label"]
    records = [json.loads(line) for line in (tmp_path / "networks" / "results.jsonl").read_text().splitlines()]
    (edm,) = (record for record in records if record.get("method") == "edm" and record["num_steps"] == 3)
    assert edm["energy"] == evaluate_plan(Target.of("digits_net", "heun"), np.array(edm["sigmas"]), 64).energy
    (exact,) = (record for record in records if record.get("method") == "precise endpoints")
    samples = get_bank(get_task("digits_net"), "heldout", HELDOUT_BANK).first(64)[1].reshape(64, -1)
    data = get_task("digits_net").sample_data(64, np.random.default_rng(17)).reshape(64, -1)
    assert exact["energy"] == energy_distance(samples, data)
    assert f"the precise endpoints have {exact['energy']:.4f}, and images of the data against others" in table
    assert f"| {edm['energy']:.4f} |" in table
    monkeypatch.setattr(networks, "ENOUGH_FOR_ENERGY", 65)
    assert "Energy" not in networks.networks(tmp_path, (0,), quick=True)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).standard_normal(networks.GROUPS)
    left_out = (values.sum() - values) / (len(values) - 1)
    assert networks.jackknife(left_out) == pytest.approx(1.96 * values.std(ddof=1) / len(values) ** 0.5)


def test_a_lower_frechet_distance_counts_beyond_its_interval() -> None:
    """On the same noises, the part that both have in common is not in the interval."""
    common = np.random.default_rng(0).standard_normal(networks.GROUPS)
    rows = {"cosine": [[{"frechet": 0.5}]], "edm": [[{"frechet": 0.7}]], networks.LEARNED: [[{"frechet": 0.6}]]}
    left_out = {method: [(common + row[0][0]["frechet"]).tolist()] for method, row in rows.items()}
    assert networks._below_learned((9,), rows, left_out) == "cosine by 0.100 ± 0.000 at NFE 9"
    left_out["cosine"] = [(2 * common).tolist()]
    assert networks._below_learned((9,), rows, left_out) == "none"
