"""The stored references: two are recomputed, and all are checked against their own levels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from art_gym.denoisers.function import FunctionDenoiser
from art_gym.evaluation.families import best_grids, error_of_grids, family_reference, searched_grid
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.evaluation.references import better, compute_all, compute_reference
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.coefficients import follow
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.plans import draw
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.grids.base import make_grid
from art_gym.search import oracle, sampler_oracle
from art_gym.solvers.loop import integrate
from art_gym.tasks.references import Reference, find_reference, load_references, score, write_references
from art_gym.tasks.registry import BUILT_IN, get_task, register_task, resolve
from art_gym.tasks.target import Target

FAMILY = "procedural_test"
FAST = [entry for entry in load_references() if entry.task not in ("digits", FAMILY, "context", "mnist")]
SHIPPED = 32  # held-out noises of MNIST whose precise endpoints need not be computed


@pytest.mark.parametrize(("task", "num_steps"), [("mixture_1d", 5), ("ring_2d", 5)])
def test_two_are_recomputed(task: str, num_steps: int) -> None:
    stored = find_reference(Target.of(task, "dpmpp_2m"), num_steps)
    again = compute_reference(Target.of(task, "dpmpp_2m"), num_steps, stored.seed)
    assert again.edm_error == pytest.approx(stored.edm_error, rel=1e-3)
    assert again.oracle_error == pytest.approx(stored.oracle_error, rel=0.02)


@pytest.mark.parametrize("entry", FAST, ids=lambda entry: "-".join(map(str, entry.key)))
def test_stored_levels_give_the_stored_error(entry: Reference) -> None:
    found = evaluate_plan(Target.of(entry.task, entry.solver), entry.oracle, distances=False)
    assert found.error == pytest.approx(entry.oracle_error, rel=0.02, abs=entry.floor / 10)
    assert entry.oracle_error < entry.edm_error


def test_oracles_of_mnist_are_better_than_edms_grid_on_noises_that_ship() -> None:
    entries = [entry for entry in load_references() if entry.task == "mnist"]
    for entry in entries:
        target = Target.of("mnist", entry.solver)
        edm, found = (
            evaluate_plan(target, plan, SHIPPED, distances=False).error
            for plan in (make_grid("edm", entry.num_steps, target.denoiser), entry.oracle)
        )
        assert found == pytest.approx(entry.oracle_error, rel=0.3)
        assert edm == pytest.approx(entry.edm_error, rel=0.2)
        assert found < 0.7 * edm
        assert entry.fits(target.denoiser)


def test_a_family_s_reference_follows_from_the_grids_of_its_models() -> None:
    target = Target.of(FAMILY, "drawn")
    stored = find_reference(target, 5)
    again = family_reference(target, 5)
    assert again.edm_error == pytest.approx(stored.edm_error, rel=1e-3)
    assert again.oracle_error == pytest.approx(stored.oracle_error, rel=1e-3)
    assert stored.oracle_error < 0.6 * stored.edm_error
    for number in (2, 3):  # 2M and Euler
        found = searched_grid(target, number, 5)
        known = best_grids(target, 5)[number]
        model = Target.of(target.denoiser.model(number), ("dpmpp_2m", "euler")[number % 2])  # type: ignore[attr-defined]
        errors = [evaluate_plan(model, np.array(grid), 256, distances=False).error for grid in (found, known)]
        assert errors[0] == pytest.approx(errors[1], rel=0.05)


def test_the_models_of_a_family_may_have_samplers() -> None:
    target = Target.of("procedural?models=3", "dpmpp_2m")
    grids = [make_grid(name, 5, target.denoiser) for name in ("edm", "cosine", "arctan")]
    samplers = [Sampler.of(grid, "dpmpp_2m") for grid in grids]
    errors = [error_of_grids(target, plans, 96) for plans in (grids, samplers)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-4)


@pytest.mark.parametrize("gradients", [True, False])
def test_the_oracle_is_no_worse_than_any_of_its_starts(gradients: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On its training noises, and for a denoiser of numpy arrays alone too."""
    mixture = get_task("mixture_1d")
    of_numpy = FunctionDenoiser(lambda x, sigma: mixture(np.asarray(x), np.asarray(sigma)), (1,), 0.002, 80.0, 1.4)
    denoiser = mixture if gradients else of_numpy
    noises = Target.of(denoiser, "dpmpp_2m").noises("train", 512)
    tried: list[np.ndarray] = []
    starts = oracle._starts
    monkeypatch.setattr(oracle, "_starts", lambda *of: tried.extend(starts(*of)) or list(tried))
    found = oracle.optimise(denoiser, 4, "dpmpp_2m", *noises)

    def error(levels: np.ndarray) -> float:
        return float(endpoint_error(integrate(denoiser, levels, noises[0], "dpmpp_2m"), noises[1]).mean())

    assert len(tried) > 10
    assert error(found) <= min(map(error, tried)) * (1 + 1e-6)


def test_models_of_large_latents_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are slow. The result is no worse than that of the one search."""
    target = Target.of("mixture_1d", "euler")
    start, endpoints = target.noises("train", 512)
    searched: list[np.ndarray] = []
    for module, name in ((oracle, "defect"), (sampler_oracle, "sampler_defect")):
        search = getattr(module, name)

        def noted(*of: object, search: object = search, **named: object) -> np.ndarray:
            searched.append(search(*of, **named))  # type: ignore[operator]
            return searched[-1]

        monkeypatch.setattr(module, "LARGE", 1)
        monkeypatch.setattr(module, name, noted)
    grid = oracle.optimise(target.denoiser, 4, "euler", start, endpoints)
    sampler = sampler_oracle.optimise_sampler(target.denoiser, 4, Freedom(2), start, endpoints, grid)
    assert len(searched) == 2
    first, found = (
        [float(endpoint_error(draw(target.denoiser, plan, start, "euler"), endpoints).mean()) for plan in plans]
        for plans in (searched, (grid, sampler))
    )
    assert found[0] <= first[0] * (1 + 1e-6)
    assert found[1] <= first[1] * (1 + 1e-6)
    assert found[1] < found[0]


def test_every_built_in_task_has_references_at_the_budgets_of_the_tables() -> None:
    known = {entry.key for entry in load_references()}
    families = {(FAMILY, "drawn"), ("context", "dpmpp_2m"), ("context", "euler")}
    of_families = {(task, solver, k, None) for task, solver in families for k in (5, 7, 10)}
    assert of_families <= known
    of_mnist = {("mnist", solver, k, None) for solver in ("dpmpp_2m", "euler") for k in (5, 7, 10)}
    of_mnist.add(("mnist", None, 5, Freedom().name))
    assert of_mnist <= known
    known -= of_families | of_mnist
    tasks = set(BUILT_IN)
    kinds = [("dpmpp_2m", None), ("euler", None), ("heun", None), (None, Freedom().name)]
    assert known == {(task, solver, k, freedom) for task in tasks for solver, freedom in kinds for k in (5, 7, 10, 18)}


@pytest.mark.parametrize("solver", ["dpmpp_2m", "euler"])
def test_the_sampler_oracle_is_better_than_the_best_grid(solver: str) -> None:
    """It is the same for every solver, while EDM's error is the solver's."""
    for task in BUILT_IN:
        for num_steps in (5, 7, 10, 18):
            grid = find_reference(Target.of(task, solver), num_steps)
            best = find_reference(Target.of(task, solver, Freedom()), num_steps)
            assert grid is not None
            assert best is not None
            assert best.edm_error == grid.edm_error
            assert max(best.oracle_error, best.floor) <= max(grid.oracle_error, grid.floor)
    assert find_reference(Target.of("digits", solver, Freedom(4)), 5) is None


def test_the_sampler_oracle_is_no_worse_than_any_of_its_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On its training noises. A whole search with fewer numbers to choose is one of its starts."""
    target, few = Target.of("mixture_1d"), Freedom(2, False)
    start, endpoints = target.noises("train", 512)
    monkeypatch.setattr(sampler_oracle, "SCREENED", 2)
    levels = make_grid("arctan", 4, target.denoiser)
    part = sampler_oracle.sampler_defect(target.denoiser, 4, few, start, endpoints, 0, levels=levels)
    found = sampler_oracle.optimise_sampler(target.denoiser, 4, Freedom(), start, endpoints, levels)
    errors = [endpoint_error(follow(target.denoiser, plan, start), endpoints).mean() for plan in (found, part)]
    assert errors[0] <= errors[1] * (1 + 1e-6)


def test_a_sampler_oracle_can_be_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_oracle, "SCREENED", 2)
    file, freedom = tmp_path / "references.json", Freedom(2, False)
    compute_all(["mixture_1d"], ["euler", "dpmpp_2m"], [3], file, freedom=freedom)
    (entry,) = load_references(file)  # one for all solvers
    assert entry.key == ("mixture_1d", None, 3, "weights")
    assert isinstance(entry.oracle, Sampler)
    error = evaluate_plan(Target.of("mixture_1d"), entry.oracle, distances=False).error
    assert entry.oracle_error == pytest.approx(error, rel=1e-3)
    assert entry.oracle_error < entry.edm_error


def test_score_is_0_for_edm_and_1_for_the_oracle() -> None:
    entry = find_reference(Target.of("digits", "dpmpp_2m"), 10)
    assert score(entry.edm_error, entry) == 0
    assert score(entry.oracle_error, entry) == pytest.approx(1)
    assert score(np.sqrt(entry.edm_error * entry.oracle_error), entry) == pytest.approx(0.5)
    assert score(1.0, None) is None


def test_there_is_no_score_where_edms_grid_is_the_best() -> None:
    entry = find_reference(Target.of("digits", "dpmpp_2m"), 10)
    assert score(0.01, replace(entry, oracle_error=entry.edm_error)) is None
    assert score(0.01, replace(entry, edm_error=entry.floor / 3, oracle_error=entry.floor / 9)) is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (("gaussian_1d", "euler", 1), "at least 2 steps, got 1"),
        (("nope", "euler", 5), "unknown task 'nope'"),
        (("gaussian_1d", "nope", 5), "unknown solver 'nope'"),
    ],
)
def test_what_can_have_no_reference_is_said_before_the_first_is_computed(
    wanted: tuple[str, str, int], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, solver, num_steps = wanted
    with pytest.raises(ValueError, match=expected):
        compute_all(("mixture_1d", task), ("euler", solver), (5, num_steps), tmp_path / "references.json")
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err == ""


def test_again_keeps_the_better_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = find_reference(Target.of("mixture_1d", "euler"), 5)
    grid = make_grid("edm", 5, resolve("mixture_1d"))
    worse = replace(stored, oracle_sigmas=tuple(float(level) for level in grid), seed=7)
    target = Target.of("mixture_1d", "euler")
    assert better(target, worse, stored) is stored
    assert better(target, stored, worse) is stored
    file, other = tmp_path / "references.json", find_reference(Target.of("ring_2d", "euler"), 5)
    write_references([worse, other], file)
    monkeypatch.setattr("art_gym.evaluation.references.compute_reference", lambda *_: stored)
    wanted = (("mixture_1d",), ("euler",), (5,), file)
    compute_all(*wanted)
    assert load_references(file) == (worse, other)
    compute_all(*wanted, again=True)
    assert load_references(file) == (stored, other)
    monkeypatch.setattr("art_gym.evaluation.references.compute_reference", lambda *_: worse)
    compute_all(*wanted, again=True)
    assert load_references(file) == (stored, other)


def test_candidates_are_polished_and_kept_if_better(tmp_path: Path) -> None:
    stored = find_reference(Target.of("mixture_1d", "euler"), 5)
    grid = make_grid("edm", 5, resolve("mixture_1d"))
    worse = replace(stored, oracle_sigmas=tuple(float(level) for level in grid), oracle_error=stored.edm_error)
    file, lines = tmp_path / "references.json", tmp_path / "learned.jsonl"
    write_references([worse], file)
    near = [80.0, *(1.05 * level for level in stored.oracle_sigmas[1:-1]), 0.0]
    lines.write_text(json.dumps({"task": "mixture_1d", "solver": "euler", "num_steps": 5, "sigmas": near}) + "\n")
    compute_all(("mixture_1d",), ("euler",), (5,), file, candidates=(lines,))
    (found,) = load_references(file)
    assert found.oracle_error == pytest.approx(stored.oracle_error, rel=0.01)
    assert (worse.method, found.method) == ("search", "polish")
    lines.write_text("no lines of JSON")
    with pytest.raises(ValueError, match="holds no schedules as JSON lines"):
        compute_all(("mixture_1d",), ("euler",), (5,), file, candidates=(lines,))


def test_a_reference_is_of_its_denoiser_not_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a model is trained again, the references of the old one score nothing and are computed anew."""

    def register(spread: float) -> None:
        flow = FunctionDenoiser(lambda x, sigma: x * (spread / (spread + sigma**2))[:, None], (2,), 0.01, 80.0, 0.5)
        register_task("trained_again", flow)

    monkeypatch.setattr("art_gym.evaluation.references.TRAIN_NOISES", 64)
    file, wanted = tmp_path / "references.json", (("trained_again",), ("euler",), (3,))
    register(0.25)
    compute_all(*wanted, file)
    (first,) = load_references(file)
    compute_all(*wanted, file)
    assert load_references(file) == (first,)
    assert first.fits(get_task("trained_again"))
    monkeypatch.setattr("art_gym.tasks.references.load_references", lambda file=file: (first,))
    assert find_reference(Target.of("trained_again", "euler"), 3) is first
    register(0.01)
    assert find_reference(Target.of("trained_again", "euler"), 3) is None
    monkeypatch.undo()
    monkeypatch.setattr("art_gym.evaluation.references.TRAIN_NOISES", 64)
    compute_all(*wanted, file)
    (second,) = load_references(file)
    denoiser = get_task("trained_again")
    assert second.fits(denoiser)
    assert not first.fits(denoiser)
    assert second.edm_error != first.edm_error


@pytest.mark.parametrize("content", ["{]", '{"a": 1}', '[{"task": "digits"}]', "[3]"])
def test_a_file_without_references_is_named(content: str, tmp_path: Path) -> None:
    file = tmp_path / "references.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"references\.json holds no references \(.*\): name another file"):
        load_references(file)
