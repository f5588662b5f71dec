"""LD3: its sampler is 2M with other told levels, its noises stay in their balls, and it beats its first grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from art_gym.agents.studies import ld3 as module
from art_gym.agents.studies.ld3 import ld3, sampler, within_ball
from art_gym.agents.studies.peers import Learning
from art_gym.denoisers.base import Counted
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.coefficients import Coefficients, follow
from art_gym.samplers.freedom import weights_2m
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.fractions import logits_from_levels
from art_gym.tasks.target import Target

MIXTURE = Target.of("mixture_1d")
LEVELS = np.array([80.0, 5.0, 1.0, 0.3, 0.1, 0.0])
UPDATES, BATCH = 60, 32


def learned(denoiser: Counted | None = None) -> Coefficients:
    how = Learning(*MIXTURE.noises("train", 256), 0, UPDATES, BATCH)
    return ld3(denoiser or Counted(MIXTURE.denoiser), LEVELS, how)


def error_of(found: Coefficients) -> float:
    start, endpoints = MIXTURE.noises("heldout", 1024)
    return float(endpoint_error(follow(MIXTURE.denoiser, found, start), endpoints).mean())


def test_told_levels_are_near_their_own() -> None:
    logits = torch.tensor(logits_from_levels(LEVELS, MIXTURE.denoiser), dtype=torch.float32)
    found = sampler(logits, torch.tensor([3.0, 9.0, -9.0, 0.1, -0.2]), MIXTURE.denoiser)
    np.testing.assert_allclose(found.sigmas.numpy(), LEVELS, rtol=1e-4)
    np.testing.assert_allclose(found.weights[:, 0].numpy(), weights_2m(LEVELS), rtol=1e-4, atol=1e-6)
    window = np.log(0.3 / 0.1) / 2  # half of the shortest step
    np.testing.assert_allclose(np.log(found.told.numpy()), [0, window, -window, 0.1, -0.2], rtol=1e-3, atol=1e-6)


def test_moves_end_at_the_ball() -> None:
    moves = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    np.testing.assert_allclose(within_ball(moves, 1.0).numpy(), [[0.6, 0.8], [0.3, 0.4], [0, 0]], rtol=1e-6)


def test_it_learns_levels_and_told_levels() -> None:
    denoiser = Counted(MIXTURE.denoiser)
    found, start = learned(denoiser), Sampler.of(LEVELS, "dpmpp_2m").coefficients()
    assert error_of(found) < 0.7 * error_of(start)
    assert found.told[0] == 1
    assert (found.told[1:] != 1).all()
    assert denoiser.evaluations == 2 * BATCH * 5 * UPDATES


def test_the_first_phase_chooses_levels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALONE", 1.0)
    found = learned()
    np.testing.assert_array_equal(found.told, 1)
    assert not np.allclose(found.sigmas, LEVELS, rtol=1e-2)


def test_noises_move_with_a_ball_and_stay_without(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[torch.Tensor] = []

    def recorded(moves: torch.Tensor, radius: float) -> torch.Tensor:
        tried.append(within_ball(moves, radius))
        return tried[-1]

    monkeypatch.setattr(module, "within_ball", recorded)
    soft = learned()
    assert 0 < max(float(moves.abs().max()) for moves in tried) <= 0.001 / 25 * (1 + 1e-6)
    tried.clear()
    monkeypatch.setattr(module, "RADIUS", 0.0)
    hard = learned()
    assert max(float(moves.abs().max()) for moves in tried) == 0
    assert not np.array_equal(soft.sigmas, hard.sigmas)
