"""The study of samplers: its rows, what each of them is allowed to choose, and what its table says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.agents.cli.main import main
from art_gym.agents.studies import sampler_methods, samplers
from art_gym.agents.studies.network_measures import GROUPS
from art_gym.agents.studies.peers import MULTISTEP, Learning, Part, best_grid_of, bns, s4s
from art_gym.agents.studies.sampler_measures import MEASURES, as_document, left_out, worse
from art_gym.agents.studies.sampler_methods import BNS, EDM, GRID, KNOWN, RATES, SAMPLER, methods
from art_gym.agents.studies.sampler_noises import GRID as GRID_OF_NOISES
from art_gym.agents.studies.sampler_noises import QUICK_COUNTS
from art_gym.denoisers.base import Counted
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.coefficients import Coefficients, follow
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.sampler import Sampler
from art_gym.samplers.traced import traced
from art_gym.schedules.grids.base import edm_grid
from art_gym.search.spaces import Samplers
from art_gym.tasks.target import Target

MIXTURE = Target.of("mixture_1d")
LEVELS = np.array([80.0, 5.0, 1.0, 0.3, 0.1, 0.0])


def learning(evaluations: float = 1e5, updates: int = 40) -> Learning:
    return Learning(*MIXTURE.noises("train", 256), evaluations, updates, 64)


def error_of(found: Coefficients) -> float:
    start, endpoints = MIXTURE.noises("train", 256)
    return float(endpoint_error(follow(MIXTURE.denoiser, found, start), endpoints).mean())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the table of a quick run."""
    out = tmp_path_factory.mktemp("samplers")
    table = samplers.samplers(out, (0, 1), quick=True)
    return out / "samplers", table


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def of_methods(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        record["method"]: record for record in records(folder) if record.get("num_steps") == 5 and "method" in record
    }


def test_the_table_has_every_method(study: tuple[Path, str]) -> None:
    folder, table = study
    assert (folder / "table.md").read_text() == table
    for name in methods():
        assert f"| {name} |" in table or f"| **{name}** |" in table, name
    assert table.count("**") == 2  # one least error for the only K
    pictures = {file.name for file in folder.glob("*.png")}
    assert pictures == {"errors.png", "digits_samples.png", "digits_sampler_5.png"}


def test_it_resumes_from_the_command_line(study: tuple[Path, str], capsys: pytest.CaptureFixture) -> None:
    folder, table = study
    before = (folder / "results.jsonl").read_text()
    arguments = ["reproduce", "samplers", "--quick", "--seeds", "0", "1", "--out", str(folder.parent)]
    assert main(arguments) == 0
    assert table.strip() in capsys.readouterr().out
    assert (folder / "results.jsonl").read_text() == before  # nothing is computed again


def test_each_peer_has_its_own_coefficients(study: tuple[Path, str]) -> None:
    """The evaluated numbers are those of the method on the grid that was found for it, and no two are the same."""
    folder, _ = study
    found = of_methods(folder)
    plans = []
    for name, method in MULTISTEP.items():
        record = found[f"best grid, {name}"]
        sampler = Sampler(tuple(record["sigmas"]), tuple(record["told"]), tuple(map(tuple, record["weights"])), "x")
        expected = traced(method, np.array(record["sigmas"]))
        np.testing.assert_allclose(sampler.told, expected.told, rtol=1e-6)
        width = max(sampler.memory, expected.weights.shape[1] + 1) - 1
        padded = [
            np.pad(w, ((0, 0), (0, width - w.shape[1]))) for w in (sampler.coefficients().weights, expected.weights)
        ]
        np.testing.assert_allclose(*padded, atol=1e-6)
        assert record["error"] == evaluate_plan(Target.of("digits"), sampler, 128, distances=False).error
        plans.append(sampler.coefficients().weights.round(3).tobytes())
    assert len(set(plans)) == len(MULTISTEP)


def test_the_better_rate_counts_with_the_cost_of_both_and_of_the_grid(study: tuple[Path, str]) -> None:
    folder, _ = study
    one = samplers._Task(samplers.Study("samplers", folder.parent), "digits", sampler_methods.QUICK, True)
    tried = [record for record in records(folder) if record.get("method") == BNS]
    begin = one.good_grid(5)
    found = one.record(BNS, 5, 0)
    assert [record["rate"] for record in tried] == list(RATES)
    assert found["error"] == min(tried, key=lambda record: record["training_error"])["error"]
    assert tried[0]["training_error"] != tried[1]["training_error"]
    assert found["evaluations"] == begin["evaluations"] + sum(record["evaluations"] for record in tried)
    assert one.record(EDM, 5, 0)["evaluations"] == 0
    assert one.record(SAMPLER, 5, 0)["evaluations"] > begin["evaluations"]


@pytest.mark.parametrize("name", MULTISTEP)
def test_the_best_grid_of_a_method_is_better_than_its_first_one(name: str) -> None:
    method, denoiser = MULTISTEP[name], Counted(MIXTURE.denoiser)
    found = best_grid_of(method, denoiser, LEVELS, learning())
    assert error_of(found) < 0.9 * error_of(traced(method, LEVELS))
    assert denoiser.evaluations < 1.5e5


@pytest.mark.parametrize("told", [True, False])
def test_bns_weighs_all_earlier_estimates(told: bool) -> None:
    found = bns(MIXTURE.denoiser, LEVELS, learning(), told)
    assert found.weights.shape == (5, 4)
    assert (found.weights[4] != 0).all()
    assert (found.told != 1).all() if told else (found.told == 1).all()
    assert not np.allclose(found.sigmas, LEVELS, rtol=1e-2)
    assert error_of(found) < error_of(Sampler.of(LEVELS, "dpmpp_2m").coefficients())


def test_s4s_keeps_the_levels_and_s4s_alt_moves_them() -> None:
    weights_only, both = (s4s(MIXTURE.denoiser, LEVELS, learning(), rounds) for rounds in (0, 2))
    np.testing.assert_allclose(weights_only.sigmas, LEVELS, rtol=1e-5)
    assert not np.allclose(both.sigmas, LEVELS, rtol=1e-2)
    start = Sampler.of(LEVELS, "dpmpp_2m").coefficients()
    for found in (weights_only, both):
        assert found.weights.shape == (5, 2)
        assert (found.told == 1).all()
        assert not np.allclose(found.weights[:, :1], start.weights, atol=1e-2)
    assert error_of(both) < error_of(weights_only) < error_of(start)


def test_a_part_changes_only_what_is_free() -> None:
    whole = Samplers(MIXTURE.denoiser, 3, Freedom(2, False))
    known, free = np.arange(whole.size, dtype=float) / 10, np.arange(whole.size) % 2 == 1
    part = Part(whole, known, free)
    numbers = np.full(part.size, 7.0)
    np.testing.assert_array_equal(part.all(numbers), np.where(free, 7.0, known))
    np.testing.assert_allclose(part.all(torch.from_numpy(numbers)).numpy(), part.all(numbers))
    np.testing.assert_array_equal(part.all(part.first()), known)


@pytest.mark.parametrize("task", ["ring_2d", "digits"])
def test_measures_without_a_group_are_those_of_the_evaluation(task: str) -> None:
    target = Target.of(task)
    plan = as_document(edm_grid(5, target.denoiser))
    found, whole = left_out(target, plan, 64), evaluate_plan(target, plan, 64)
    for name in MEASURES:
        assert found[name] == (None if getattr(whole, name) is None else pytest.approx(getattr(whole, name)))
        if found[name] is not None:
            assert len(found["left_out"][name]) == GROUPS
            assert np.ptp(found["left_out"][name]) > 0


def test_worse_counts_beyond_the_interval_of_the_difference() -> None:
    common = np.random.default_rng(0).standard_normal(GROUPS)

    def record(value: float, scale: float = 1.0) -> dict[str, Any]:
        values = dict.fromkeys(MEASURES, value) | {"frechet": None}
        return {**values, "left_out": {name: (value + scale * common).tolist() for name in values if name != "frechet"}}

    assert worse(record(0.6), record(0.5)) == {
        name: (pytest.approx(0.1), pytest.approx(0)) for name in ("median", "energy", "sliced")
    }
    assert worse(record(0.5), record(0.6)) == {}
    assert worse(record(0.6, 2.0), record(0.5)) == {}  # the difference itself varies


def test_a_stored_sampler_oracle_has_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = Sampler(tuple(LEVELS), (1.0,) * 5, ((),) * 5, "oracle")
    monkeypatch.setattr(
        samplers, "find_reference", lambda target, k: SimpleNamespace(oracle=oracle) if target.freedom else None
    )
    one = samplers._Task(samplers.Study("samplers", tmp_path), "digits", sampler_methods.QUICK, True)
    (known,) = one.rows((5,), (0,))[5, KNOWN]
    assert known["sigmas"] == list(LEVELS)
    assert known["evaluations"] is None
    assert known["error"] == evaluate_plan(one.target, oracle, 128, distances=False).error
    (grid,) = one.rows((5,), (0,))[5, GRID]  # none is stored for grids here, so it is the one found
    assert grid["sigmas"] == one.good_grid(5)["sigmas"]


@pytest.mark.parametrize(("needed", "said"), [(20.0, "75"), (4.0, "-25"), (None, "> 95")])
def test_saved_calls(needed: float | None, said: str) -> None:
    assert samplers._saved_share(5, [{"edm_steps": needed}]) == said


def test_the_aim_is_read_from_the_records(study: tuple[Path, str]) -> None:
    folder, table = study
    record = of_methods(folder)[SAMPLER]
    share = 100 * (1 - 5 / record["edm_steps"])
    assert f"K = 5: {share:.0f} % ({'yes' if share >= 50 else 'no'})" in table


def test_more_numbers_fit_the_training_noises_better(study: tuple[Path, str]) -> None:
    folder, table = study
    found = {
        (record["noises"], record["chosen"]): record["training_error"]
        for record in records(folder)
        if "chosen" in record and "noises" in record
    }
    for count in QUICK_COUNTS:
        errors = [found[count, name] for name in (GRID_OF_NOISES, "w", "w, c, v")]
        assert errors == sorted(errors, reverse=True)
        assert f"({errors[-1]:.4f})" in table
