"""Evaluation of levels and of policies on held-out noise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from art_gym.denoisers.dataset import ExactDataset
from art_gym.denoisers.function import FunctionDenoiser
from art_gym.envs.config import load_config
from art_gym.evaluation import heldout as evaluation
from art_gym.evaluation.heldout import HELDOUT, HELDOUT_BANK, VALIDATION, evaluate_plan, evaluate_policy
from art_gym.evaluation.policies import AdaptivePolicy
from art_gym.evaluation.sampling import sample
from art_gym.measures.distances import energy_distance
from art_gym.measures.frechet import frechet_distance, precision_recall
from art_gym.schedules.closed_forms import art
from art_gym.schedules.fractions import levels_from_logits
from art_gym.schedules.grids.base import edm_grid, make_grid
from art_gym.solvers.base import SOLVERS
from art_gym.solvers.loop import integrate
from art_gym.tasks.noise_bank import NoiseBank, get_bank
from art_gym.tasks.references import find_reference
from art_gym.tasks.registry import get_task
from art_gym.tasks.target import Target


@pytest.mark.parametrize("solver", SOLVERS)
def test_counts_and_measures(solver: str) -> None:
    denoiser = get_task("ring_2d")
    levels = make_grid("arctan", 6, denoiser)
    found = evaluate_plan(Target.of("ring_2d", solver), levels, 256)
    assert found.nfe == SOLVERS[solver].evaluations(6)
    bank = NoiseBank(denoiser, "heldout", HELDOUT_BANK)
    bank.ensure(256)
    if solver == "euler":
        x = bank.start[:256].astype(np.float64)
        for sigma, after in pairwise(levels):
            x = x + (after - sigma) * (x - denoiser(x, np.full(256, sigma))) / sigma
        errors = np.sqrt(((x - bank.endpoints[:256]) ** 2).mean(axis=1))
        assert found.error == pytest.approx(errors.mean(), rel=1e-4)
        assert found.rms == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
        assert found.median == pytest.approx(np.median(errors), rel=1e-3)


def test_rows_of_validation_report_and_training_are_apart() -> None:
    denoiser = get_task("mixture_1d")
    heldout, train = (NoiseBank(denoiser, split, 4096) for split in ("heldout", "train"))
    for bank in (heldout, train):
        bank.ensure(4096)
    assert VALIDATION >= HELDOUT
    report, validation = heldout.start[:HELDOUT, 0], heldout.start[VALIDATION:HELDOUT_BANK, 0]
    assert not np.intersect1d(report, validation).size
    assert np.intersect1d(heldout.start[:, 0], train.start[:, 0]).size < 20  # float32 numbers that coincide by chance


@pytest.mark.parametrize("solver", ["dpmpp_2m", "heun"])
def test_a_policy_that_stands_still_is_the_geometric_grid(solver: str) -> None:
    config = load_config("ring_2d", solver=solver, num_steps=5, population=8)
    policy = evaluate_policy(lambda observation: np.zeros((len(observation), 1)), config, 5, 256)
    levels = levels_from_logits(np.zeros(4), get_task("ring_2d"))
    grid = evaluate_plan(Target.of("ring_2d", solver), levels, 256)
    np.testing.assert_allclose(policy.levels, levels, rtol=1e-6)
    assert policy.spread < 1e-12
    assert policy.error == pytest.approx(grid.error, rel=1e-4)
    assert policy.nfe == grid.nfe
    assert policy.sliced == pytest.approx(grid.sliced, rel=1e-3)


@pytest.mark.parametrize(
    ("task", "num_steps", "edm", "arctan", "closed_form", "oracle"),
    [
        ("digits", 5, 0.248, 0.104, 0.085, 0.079),
        ("digits", 10, 0.104, 0.045, 0.040, 0.022),
        ("ring_2d", 10, 0.215, None, 0.057, 0.0011),
    ],
)
def test_errors_that_an_independent_implementation_had(
    task: str, num_steps: int, edm: float, arctan: float, closed_form: float, oracle: float
) -> None:
    """DPM-Solver++(2M), the mean over other held-out noises, hence the tolerances. The oracle may be better."""
    denoiser = get_task(task)
    bank = get_bank(denoiser, "train", 256)
    bank.ensure(256)
    reference = find_reference(Target.of(task, "dpmpp_2m"), num_steps)
    count = 256 if task == "digits" else HELDOUT  # precise endpoints of digits take long

    def error(levels: np.ndarray) -> float:
        return evaluate_plan(Target.of(task, "dpmpp_2m"), levels, count, distances=False).error

    assert error(make_grid("edm", num_steps, denoiser)) == pytest.approx(edm, rel=0.15)
    if arctan is not None:
        assert error(make_grid("arctan", num_steps, denoiser)) == pytest.approx(arctan, rel=0.15)
    assert error(art(denoiser, num_steps, bank.start[:256])) == pytest.approx(closed_form, rel=0.15)
    assert error(np.array(reference.oracle_sigmas)) < 1.15 * oracle


class Flat(FunctionDenoiser):
    """A user's task with a network's features, which are the latents themselves here."""

    def sample_data(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal((count, *self.shape))

    def features(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1)


def test_what_is_kept_of_the_data_changes_no_measure() -> None:
    """Draws of the data and their features are made once, also if features are given later."""
    denoiser = ExactDataset(get_task("digits").points[:300], 0.1)
    levels = edm_grid(5, denoiser)
    samples = integrate(denoiser, levels, get_bank(denoiser, "heldout", HELDOUT_BANK).first(64)[0], "euler")
    data = denoiser.sample_data(64, np.random.default_rng(17))
    for features in (None, lambda x: x.reshape(len(x), -1)[:, :8], lambda x: 2 * x.reshape(len(x), -1)[:, 20:30]):
        denoiser.features = features
        for _ in range(2):
            found = evaluate_plan(Target.of(denoiser, "euler"), levels, 64)
            assert found.energy == energy_distance(samples.reshape(64, -1), data.reshape(64, -1))
            if features is None:
                assert found.frechet is found.precision is None
            else:
                ours, theirs = features(samples), features(data)
                assert found.frechet == frechet_distance(ours, theirs)
                assert (found.precision, found.recall) == precision_recall(ours, theirs)


def test_draws_of_the_data_may_be_flat() -> None:
    """Features get arrays in the shape of a latent, whatever ``sample_data`` gives."""
    shapes, denoiser = set(), ExactDataset(get_task("digits").points[:300], 0.1)
    draw = denoiser.sample_data
    denoiser.sample_data = lambda count, rng: draw(count, rng).reshape(count, -1)
    denoiser.features = lambda x: shapes.add(x.shape) or x.reshape(len(x), -1)[:, :8]
    found = evaluate_plan(Target.of(denoiser, "euler"), edm_grid(5, denoiser), 64)
    assert shapes == {(64, *denoiser.shape)}
    assert found.frechet > 0


def test_frechet_distance_in_a_task_s_own_features() -> None:
    """The precise endpoints of N(0, 1) are its draws up to σ_max. Samples of half the deviation are 1/4 apart."""
    half = Flat(lambda x, sigma: x * (0.25 / (0.25 + sigma**2))[:, None], (1,), data_std=0.5)
    found = evaluate_plan(Target.of(half, "heun"), edm_grid(30, half))
    assert found.frechet == pytest.approx(0.25, abs=0.03)
    assert found.precision > 0.98
    assert found.recall < 0.95


def test_images_are_compared_in_features_of_their_classifier() -> None:
    found = evaluate_plan(Target.of("digits", "euler"), edm_grid(5, get_task("digits")), count=256)
    better = evaluate_plan(Target.of("digits", "euler"), edm_grid(30, get_task("digits")), count=256)
    assert 0 < better.frechet < found.frechet
    assert (
        evaluate_plan(Target.of("mixture_1d", "euler"), edm_grid(5, get_task("mixture_1d")), count=64).frechet is None
    )


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.full((2, 1), np.nan), "the action is NaN in 2 of 2 environments: check the agent's network"),
        (np.zeros(2), r"expected an action of shape \(2, 1\), got \(2,\)"),
    ],
)
def test_a_policy_s_actions_are_checked_as_in_the_environment(action: object, message: str) -> None:
    config = load_config("ring_2d", num_steps=5, population=4)
    with pytest.raises(ValueError, match=message):
        evaluate_policy(lambda observation: action, config, 5, count=8)
    with pytest.raises(ValueError, match=message):
        sample("ring_2d", AdaptivePolicy(lambda observation: action, config, 5), np.ones((8, 2)))


@pytest.mark.parametrize(("population", "noises"), [(64, 2048), (48, 2016), (1500, 1500)])
def test_the_noises_of_whole_populations_stay_within_those_that_are_asked_for(
    population: int, noises: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The validation noises, which select the best model, follow the held-out rows."""
    seen = []
    monkeypatch.setattr(evaluation, "follow", lambda core, policy, state, _: seen.append(state.noise) or state)
    config = load_config("gaussian_1d", num_steps=1, population=population)
    evaluate_policy(lambda observed: np.zeros((len(observed), 1)), config, 1)
    np.testing.assert_array_equal(np.sort(seen[0].ravel()), np.arange(noises))


def test_a_population_that_is_larger_than_the_bank() -> None:
    """As in training, which evaluates progress on whole populations from the first validation row on."""
    config = load_config("gaussian_1d", num_steps=3, population=15_000)
    assert NoiseBank(get_task("gaussian_1d"), "heldout", HELDOUT_BANK).size < VALIDATION + config.population
    found = evaluate_policy(lambda observation: np.zeros((len(observation), 1)), config, 3, 512, VALIDATION, False)
    levels = levels_from_logits(np.zeros(2), get_task("gaussian_1d"))
    assert found.error == pytest.approx(
        evaluate_plan(Target.of("gaussian_1d", config.solver), levels, 2048).error, rel=0.1
    )


@pytest.mark.parametrize("num_steps", [2, 9, 4.0, "4"])
def test_budgets_that_the_policy_does_not_know(num_steps: int) -> None:
    config = load_config("ring_2d", num_steps=(3, 6), population=4)
    range_or_kind = r"num_steps must (be a whole number|lie in the configured range \(3, 6\)), got"
    for make in (lambda: evaluate_policy(len, config, num_steps, 8), lambda: AdaptivePolicy(len, config, num_steps)):
        with pytest.raises(ValueError, match=range_or_kind):
            make()


def test_levels_above_the_noise_range() -> None:
    with pytest.raises(ValueError, match=r"level 800 is outside the noise range of GaussianMixture, 0\.002 to 80"):
        evaluate_plan(Target.of("gaussian_1d", "euler"), [800, 1, 0], 8)
    for levels in ([80.00001, 1, 0], [40, 1, 0], [80, 0.001, 0]):  # rounding, another start, below the range
        evaluate_plan(Target.of("gaussian_1d", "euler"), levels, 8)


@pytest.mark.parametrize("count", [0, -1, 2.0])
def test_a_count_of_none(count: int) -> None:
    message = f"count must be a whole number of at least 1, got {count}"
    with pytest.raises(ValueError, match=message):
        evaluate_plan(Target.of("ring_2d", "euler"), [80.0, 1.0, 0.0], count)
    with pytest.raises(ValueError, match=message):
        evaluate_policy(len, load_config("ring_2d", num_steps=5), 5, count)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_noises(count: int) -> None:
    found = evaluate_plan(Target.of("digits", "euler"), edm_grid(5, get_task("digits")), count=count)
    assert (found.frechet is None) == (found.precision is None) == (count < 4)
