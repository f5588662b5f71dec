"""Differentiable Solver Search: its samplers are those of BNS, and its loss is the error along a path that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from art_gym.agents.studies.peers import Learning
from art_gym.agents.studies.solver_search import between, fine_paths, path_loss, solver_search
from art_gym.denoisers.base import Array, Counted
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.coefficients import Coefficients, follow, latents
from art_gym.samplers.sampler import Sampler
from art_gym.samplers.traced import traced
from art_gym.schedules.fine import reference_grid
from art_gym.solvers.base import Denoise
from art_gym.tasks.target import Target

GAUSSIAN, MIXTURE = Target.of("gaussian_1d"), Target.of("mixture_1d")
LEVELS = np.array([80.0, 5.0, 1.0, 0.3, 0.1, 0.0])
FINE = reference_grid(MIXTURE.denoiser)


def error_of(found: Coefficients) -> float:
    start, endpoints = MIXTURE.noises("heldout", 1024)
    return float(endpoint_error(follow(MIXTURE.denoiser, found, start), endpoints).mean())


def test_weights_of_velocities_are_weights_of_estimates() -> None:
    """Their sampler, written as in the paper on flow latents z and velocities, is one of ours with the same levels."""
    drawn = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 5))

    def theirs(denoise: Denoise, levels: np.ndarray, x: Array) -> Array:
        times = levels / (1 + levels)
        z, velocities = x / (1 + levels[0]), []
        for k in range(5):
            sigma, x = levels[k], z * (1 + levels[k])
            clean = denoise(x, np.full(len(x), sigma))
            velocities.append((x - clean) / sigma - clean)  # noise less data
            weights = np.append(drawn[k, :k], 1 - drawn[k, :k].sum())
            z = z + (times[k + 1] - times[k]) * sum(w * v for w, v in zip(weights, velocities, strict=True))
        return z

    start, _ = MIXTURE.noises("train", 16)
    ours = traced(theirs, LEVELS)
    np.testing.assert_allclose(ours.sigmas, LEVELS, rtol=1e-9)
    expected = theirs(MIXTURE.denoiser, LEVELS, start.astype(float))
    np.testing.assert_allclose(follow(MIXTURE.denoiser, ours, start.astype(float)), expected, atol=1e-9)


def test_the_fine_path_of_a_gaussian() -> None:
    """Of N(0, 1) it is x √(1 + σ²) / √(1 + σ_max²)."""
    start, _ = GAUSSIAN.noises("train", 8)
    fine = torch.from_numpy(reference_grid(GAUSSIAN.denoiser).copy())
    paths = torch.from_numpy(fine_paths(GAUSSIAN.denoiser, start.astype(float)))
    for sigma in (80.0, 7.0, 0.37, 0.0):
        found = between(fine, paths, torch.tensor(sigma, dtype=torch.float64))
        np.testing.assert_allclose(found.numpy(), start * np.sqrt((1 + sigma**2) / (1 + 80.0**2)), rtol=1e-3)


def test_the_loss() -> None:
    """Against a loop in numpy, at levels of the fine path itself."""
    start, _ = MIXTURE.noises("train", 32)
    paths = fine_paths(MIXTURE.denoiser, start)
    nodes = [0, 30, 50, 70, 96]
    plan = Sampler.of(FINE[nodes], "dpmpp_2m").coefficients()
    scale = MIXTURE.denoiser.data_std + plan.sigmas[1:]
    away = [
        (after - paths[node]) / s
        for after, node, s in zip(latents(MIXTURE.denoiser, plan, start), nodes[1:], scale, strict=True)
    ]
    at_end = np.abs(away[-1])
    huber = np.where(at_end < 0.001, 500 * at_end**2, at_end - 0.0005)
    expected = sum((part**2).mean() for part in away) + huber.mean()
    tensors = Coefficients(*(torch.tensor(part, dtype=torch.float32) for part in plan))
    fine = torch.tensor(FINE.copy(), dtype=torch.float32)
    found = path_loss(MIXTURE.denoiser, tensors, torch.from_numpy(start), fine, torch.from_numpy(paths))
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_it_learns_levels_and_all_weights() -> None:
    start, endpoints = MIXTURE.noises("train", 256)
    paths = fine_paths(MIXTURE.denoiser, start)
    np.testing.assert_allclose(paths[-1], endpoints, atol=1e-4)
    denoiser = Counted(MIXTURE.denoiser)
    found = solver_search(denoiser, LEVELS, Learning(start, endpoints, 0, 60, 32), paths)
    assert denoiser.evaluations == 60 * 32 * 5
    assert found.weights.shape == (5, 4)
    assert (found.weights[4] != 0).all()
    assert (found.told == 1).all()
    assert not np.allclose(found.sigmas, LEVELS, rtol=1e-2)
    assert error_of(found) < 0.7 * error_of(Sampler.of(LEVELS, "dpmpp_2m").coefficients())
