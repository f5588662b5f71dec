"""TPDM's recipe: densities, advantages and rewards by hand, grids that keep their budget, and a grid that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from art_gym.agents.studies import tpdm as module
from art_gym.agents.studies.tpdm import (
    FIRST,
    GRIDS,
    NOISES,
    Episodes,
    decayed,
    errors_of,
    leave_one_out,
    log_probability,
    new_policy,
    play,
    tpdm,
)
from art_gym.denoisers.base import Counted
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules.grids.base import make_grid
from art_gym.tasks.target import Target

GAUSSIAN, MIXTURE = Target.of("gaussian_1d", "euler"), Target.of("mixture_1d", "dpmpp_2m")


def test_advantages_leave_one_out() -> None:
    np.testing.assert_allclose(leave_one_out(np.array([1.0, 2.0, 6.0])), [1 - 4, 2 - 3.5, 6 - 1.5])


def test_more_steps_are_worth_less() -> None:
    rewards = decayed(0.5)(np.zeros(3), np.array([1, 2, 3]))
    np.testing.assert_allclose(rewards, [1, (1 + 0.5) / 2, (1 + 0.5 + 0.25) / 3])
    assert decayed(0.5)(np.array([0.7]), np.array([1])) == pytest.approx(np.exp(-0.7))


def test_the_first_mode_is_that_of_the_code() -> None:
    """Flow times fall by the mode of Beta(1 + e^1.5, 1 + e^0.5), and the last step goes to 0."""
    denoiser = GAUSSIAN.denoiser
    levels = play(new_policy(0), denoiser, 5, True, 1, None).levels[:, 0]
    alpha, beta = 1 + np.exp(FIRST)
    mode = (alpha - 1) / (alpha + beta - 2)
    times = 80 / 81 * mode ** np.arange(5)
    np.testing.assert_allclose(levels[:5], times / (1 - times), rtol=0.1)
    assert levels[5] == 0


def test_densities_of_whole_episodes() -> None:
    """By the formula of the Beta density, without the steps after the end."""
    policy = new_policy(0)
    with torch.no_grad():
        policy[2].weight.zero_()
        policy[2].bias.copy_(torch.log(torch.tensor([2.0, 1.0])))  # Beta(3, 2) has the density 12 r² (1 − r)
    ratios = np.array([[0.5, 0.2], [0.25, 0.9]])
    goes_on = np.array([[True, True], [True, False]])
    played = Episodes(np.zeros((4, 2)), np.zeros((2, 2, 2), np.float32), ratios, goes_on)
    expected = np.where(goes_on, np.log(12 * ratios**2 * (1 - ratios)), 0).sum(axis=0)
    np.testing.assert_allclose(log_probability(policy, played).detach().numpy(), expected, rtol=1e-5)


def test_exactly_k_steps_and_early_ends() -> None:
    policy = new_policy(0)
    with torch.no_grad():
        policy[2].bias.copy_(torch.tensor([-4.0, 4.0]))  # ratios near 0: σ_min is reached in a few steps
    rng = np.random.default_rng(0)
    whole = play(policy, GAUSSIAN.denoiser, 10, True, 16, rng)
    assert (whole.steps == 10).all()
    assert (np.diff(whole.levels, axis=0) < 0).all()
    assert whole.goes_on.all()
    short = play(policy, GAUSSIAN.denoiser, 10, False, 16, rng)
    assert short.steps.max() < 10
    assert (short.goes_on.sum(axis=0) == short.steps).all()
    for steps, levels in zip(short.steps, short.levels.T, strict=True):
        assert (levels[:steps] >= GAUSSIAN.denoiser.sigma_min).all()
        assert (levels[steps:] == 0).all()


def test_errors_are_those_of_evaluate() -> None:
    """Also where grids have different numbers of steps."""
    start, endpoints = MIXTURE.noises("heldout", 128)
    grids = [make_grid("edm", 3, MIXTURE.denoiser), make_grid("cosine", 5, MIXTURE.denoiser)]
    levels = np.stack([np.pad(grid, (0, 6 - len(grid))) for grid in grids], axis=1)  # (6, 2)
    played = Episodes(levels, np.empty(0), np.empty(0), np.empty(0))
    found = errors_of(played, MIXTURE.denoiser, MIXTURE.solver, start, endpoints)
    expected = [evaluate_plan(MIXTURE, grid, 128, distances=False).error for grid in grids]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_it_learns_the_best_step_of_a_gaussian() -> None:
    """With two steps of Euler the only level is that of arctan, the optimum for N(0, 1)."""
    denoiser = Counted(GAUSSIAN.denoiser)
    levels = tpdm(denoiser, GAUSSIAN.solver, 2, *GAUSSIAN.noises("train", 256), 60, 0)
    assert denoiser.evaluations == 60 * GRIDS * NOISES * 2
    (_, best, _), (_, first, _) = (
        make_grid("arctan", 2, GAUSSIAN.denoiser),
        play(new_policy(0), GAUSSIAN.denoiser, 2, True, 1, None).levels[:, 0],
    )
    assert abs(np.log(levels[1] / best)) < 0.2 * abs(np.log(first / best))


def test_a_strong_decay_gives_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RATE", 1e-2)
    monkeypatch.setattr(module, "FIRST", (0.0, 1.0))  # steps so long that episodes end early
    noises = GAUSSIAN.noises("train", 256)
    few, many = (
        tpdm(GAUSSIAN.denoiser, GAUSSIAN.solver, 10, *noises, 30, 0, decayed(gamma), exactly=False)
        for gamma in (0.3, 1.0)
    )
    assert len(few) < len(many)
