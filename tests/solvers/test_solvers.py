"""Solvers: order of convergence, per-sample σ, counted evaluations, and parity with diffusers' schedulers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from art_gym.denoisers import Counted, GaussianMixture
from art_gym.solvers.base import SOLVERS, Previous, get_solver
from art_gym.solvers.loop import integrate, path
from art_gym.tasks.registry import get_task

HIGH, LOW = 3.0, 0.4
NARROW = GaussianMixture(np.zeros((1, 1)), 0.5)
DENOISERS = {"gaussian": NARROW, "mixture": get_task("mixture_1d")}


@lru_cache
def start_and_exact(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(B, 1) latents at HIGH, and DOP853's result at LOW."""
    denoiser = DENOISERS[name]
    start = np.linspace(-2, 2, 16)[:, None] * np.hypot(HIGH, denoiser.data_std)

    def velocity(sigma: float, x: np.ndarray) -> np.ndarray:
        column = x[:, None]
        return ((column - denoiser(column, np.full(len(x), sigma))) / sigma)[:, 0]

    solution = solve_ivp(velocity, (HIGH, LOW), start[:, 0], method="DOP853", rtol=1e-12, atol=1e-12)
    return start, solution.y[:, -1:]


@pytest.mark.parametrize("name", DENOISERS)
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=lambda solver: solver.name)
def test_order_of_convergence(solver: Any, name: str) -> None:
    start, exact = start_and_exact(name)
    counts = np.array([32, 64, 128]) if solver.order == 4 else np.array([128, 256, 512])
    errors = []
    for count in counts:
        *_, at_low, _ = path(DENOISERS[name], [*np.geomspace(HIGH, LOW, count + 1), 0.0], start, solver)
        errors.append(np.sqrt(((at_low - exact) ** 2).mean()))
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert order == pytest.approx(solver.order, abs=0.15)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=lambda solver: solver.name)
def test_each_sample_has_its_own_sigma(solver: Any) -> None:
    denoiser = DENOISERS["mixture"]
    grids = np.array([[5.0, 2.0, 0.7, 0.3], [4.0, 3.0, 0.2, 0.1]])
    start = np.array([[6.0], [-3.0]])

    def run(lanes: slice) -> np.ndarray:
        x, levels = start[lanes], grids[lanes]
        previous = Previous(np.zeros_like(x), np.full(len(x), np.inf))
        for sigma, sigma_next in zip(levels.T, levels.T[1:], strict=False):
            denoised = denoiser(x, sigma)
            x = solver.step(denoiser, x, denoised, sigma, sigma_next, previous)
            previous = Previous(denoised, sigma)
        return x

    together = run(slice(0, 2))
    np.testing.assert_allclose(together, np.concatenate([run(slice(0, 1)), run(slice(1, 2))]), rtol=1e-12)
    expected = [
        list(path(denoiser, [*grid, 0.0], start[lane : lane + 1], solver))[-2] for lane, grid in enumerate(grids)
    ]
    np.testing.assert_allclose(together, np.concatenate(expected), rtol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=lambda solver: solver.name)
@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_evaluations_are_what_was_counted(solver: Any, num_steps: int) -> None:
    counted = Counted(DENOISERS["mixture"])
    grid = [*np.geomspace(10, 0.1, num_steps), 0.0]
    integrate(counted, grid, np.ones((5, 1)), solver)
    assert counted.evaluations == 5 * solver.evaluations(num_steps)
    assert counted.calls == solver.evaluations(num_steps)
    expected = {"heun": 2 * num_steps - 1, "rk4": 4 * num_steps - 3}
    assert solver.evaluations(num_steps) == expected.get(solver.name, num_steps)


def test_drawn_is_2m_or_euler_as_the_latent_says() -> None:
    start = np.array([[3.0, 1.0], [2.0, -1.0], [-1.0, 0.5]])  # the last element stays
    denoiser = DENOISERS["mixture"]

    def carrying(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return np.concatenate([denoiser(x[:, :1], sigma), x[:, 1:]], axis=1)

    grid = np.array([5.0, 2.0, 0.7, 0.2, 0.0])
    found = integrate(carrying, grid, start, "drawn")
    for solver, rows in (("dpmpp_2m", [0, 2]), ("euler", [1])):
        np.testing.assert_allclose(found[rows], integrate(carrying, grid, start, solver)[rows], rtol=1e-12)


def test_gradients_reach_the_grid() -> None:
    grid = torch.tensor([5.0, 1.0, 0.3, 0.0], dtype=torch.float64, requires_grad=True)
    start = torch.linspace(-5, 5, 8, dtype=torch.float64)[:, None]
    for solver in SOLVERS:
        (gradient,) = torch.autograd.grad(integrate(DENOISERS["mixture"], grid, start, solver).square().sum(), grid)
        assert torch.isfinite(gradient).all()
        assert (gradient[1:3] != 0).all()


def test_unknown_solver_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown solver 'ddim': choose one of dpmpp_2m, drawn, euler, heun, rk4"):
        get_solver("ddim")


def euler_scheduler() -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler()


def heun_scheduler() -> Any:
    from diffusers import HeunDiscreteScheduler

    return HeunDiscreteScheduler()


def multistep_scheduler() -> Any:
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++", solver_order=2, lower_order_final=True, final_sigmas_type="zero"
    )


@pytest.mark.parametrize("num_steps", [2, 3, 8, 20])  # diffusers' 2M treats fewer than 15 steps differently
@pytest.mark.parametrize(
    ("solver", "make"),
    [("euler", euler_scheduler), ("heun", heun_scheduler), ("dpmpp_2m", multistep_scheduler)],
    ids=["euler", "heun", "dpmpp_2m"],
)
def test_parity_with_diffusers(solver: str, make: Callable[[], Any], num_steps: int) -> None:
    denoiser = get_task("ring_2d")
    grid = torch.tensor([*np.geomspace(10, 0.05, num_steps) ** 1.1, 0.0], dtype=torch.float32)
    start = grid[0] * torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from diffusers and its imports
        scheduler = make()
        scheduler.set_timesteps(num_steps)
        x = start / (1 + grid[0] ** 2) ** 0.5 if solver == "dpmpp_2m" else start
        # Heun's scheduler lists each inner level twice, as the end of a step and as the start of the next.
        scheduler.sigmas = (
            torch.cat([grid[:1], grid[1:-1].repeat_interleave(2), grid[-1:]]) if solver == "heun" else grid
        )
        scheduler.set_begin_index(0)
        for call, timestep in enumerate(scheduler.timesteps):
            sigma = scheduler.sigmas[call]
            latent = scheduler.scale_model_input(x, timestep) * (1 + sigma**2) ** 0.5  # undoes the input x/√(1+σ²)
            noise = (latent - denoiser(latent, sigma.expand(64))) / sigma
            x = scheduler.step(noise, timestep, x).prev_sample
    ours = integrate(denoiser, grid, start, solver)
    np.testing.assert_allclose(x.numpy(), ours.numpy(), rtol=1e-4, atol=1e-4)
