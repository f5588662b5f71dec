"""Evaluation on held-out noise, by hand and by policy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from art_gym.config import load_config
from art_gym.evaluation import HELDOUT, HELDOUT_BANK, VALIDATION, evaluate_levels, evaluate_policy
from art_gym.noise_bank import NoiseBank
from art_gym.schedules.fractions import levels_from_logits
from art_gym.schedules.grids import make_grid
from art_gym.solvers import SOLVERS
from art_gym.tasks import get_task


@pytest.mark.parametrize("solver", SOLVERS)
def test_counts_and_measures(solver):
    denoiser = get_task("ring_2d")
    levels = make_grid("arctan", 6, denoiser)
    found = evaluate_levels("ring_2d", solver, levels, 256)
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


def test_rows_of_validation_report_and_training_are_apart():
    denoiser = get_task("mixture_1d")
    heldout, train = (NoiseBank(denoiser, split, 4096) for split in ("heldout", "train"))
    for bank in (heldout, train):
        bank.ensure(4096)
    assert VALIDATION >= HELDOUT
    report, validation = heldout.start[:HELDOUT, 0], heldout.start[VALIDATION:HELDOUT_BANK, 0]
    assert not np.intersect1d(report, validation).size
    assert np.intersect1d(heldout.start[:, 0], train.start[:, 0]).size < 20  # float32 numbers that coincide by chance


@pytest.mark.parametrize("solver", ["dpmpp_2m", "heun"])
def test_a_policy_that_stands_still_is_the_geometric_grid(solver):
    config = load_config("ring_2d", solver=solver, num_steps=5, population=8)
    policy = evaluate_policy(lambda observation: np.zeros((len(observation), 1)), config, 5, 256)
    levels = levels_from_logits(np.zeros(4), get_task("ring_2d"))
    grid = evaluate_levels("ring_2d", solver, levels, 256)
    np.testing.assert_allclose(policy.levels, levels, rtol=1e-6)
    assert policy.spread < 1e-12
    assert policy.error == pytest.approx(grid.error, rel=1e-4)
    assert policy.nfe == grid.nfe
    assert policy.sliced == pytest.approx(grid.sliced, rel=1e-3)
