"""Published samplers are members: traced into coefficients, each gives its own samples, and diffusers' ones."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate as quadrature

from art_gym.samplers import methods
from art_gym.samplers.coefficients import follow
from art_gym.samplers.methods import _integral
from art_gym.samplers.traced import Method, traced
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import get_task

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of diffusers and what it imports
    import diffusers

LEVELS = np.append(np.geomspace(14, 0.05, 8), 0)
METHODS: dict[str, tuple[Method, int]] = {  # and the estimates that a step combines
    "euler": (methods.euler, 1),
    "dpmpp_2m": (methods.dpmpp_2m, 2),
    "dpmpp_3m": (methods.dpmpp_3m, 3),
    "unipc_2": (methods.unipc(2), 3),
    "unipc_3": (methods.unipc(3), 4),
    "deis": (methods.deis, 7),
    "ipndm": (methods.ipndm, 7),
}


def noise(count: int = 5) -> np.ndarray:
    return 14 * np.random.default_rng(0).standard_normal((count, 1, 8, 8))


@pytest.mark.parametrize("name", METHODS)
def test_traced_methods_give_their_own_samples(name: str) -> None:
    method, memory = METHODS[name]
    digits, found = get_task("digits"), traced(method, LEVELS, name)
    np.testing.assert_allclose(follow(digits, found, noise()), method(digits, LEVELS, noise()), atol=1e-12)
    np.testing.assert_allclose(found.sigmas, LEVELS, rtol=1e-12)
    np.testing.assert_allclose(found.told, 1, rtol=1e-12)
    assert found.weights.shape == (8, max(memory - 1, 1))


@pytest.mark.parametrize("name", METHODS)
def test_torch_and_single_precision(name: str) -> None:
    digits, found = get_task("digits"), traced(METHODS[name][0], LEVELS, name)
    expected = follow(digits, found, noise())
    np.testing.assert_allclose(follow(digits, found, torch.from_numpy(noise())).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(follow(digits, found, noise().astype(np.float32)), expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "kind", "order"),
    [
        ("dpmpp_2m", "DPMSolverMultistepScheduler", 2),
        ("dpmpp_3m", "DPMSolverMultistepScheduler", 3),
        ("unipc_2", "UniPCMultistepScheduler", 2),
        ("unipc_3", "UniPCMultistepScheduler", 3),
    ],
)
def test_methods_are_those_of_diffusers(name: str, kind: str, order: int) -> None:
    digits, scheduler = get_task("digits"), getattr(diffusers, kind)(solver_order=order)
    scheduler.set_timesteps(8)
    scheduler.sigmas = torch.from_numpy(LEVELS)
    x = torch.from_numpy(noise() / np.hypot(1, LEVELS[0]))  # variance preserving
    for sigma, timestep in zip(LEVELS, scheduler.timesteps, strict=False):
        latents = x.numpy() * np.hypot(1, sigma)
        slope = (latents - digits(latents, np.full(5, sigma))) / sigma
        x = scheduler.step(torch.from_numpy(slope), timestep, x).prev_sample
    ours = METHODS[name][0](digits, LEVELS, noise())
    np.testing.assert_allclose(x.numpy(), ours, atol=3e-5)  # diffusers computes some numbers in single precision


def test_deis_integrates_polynomials_in_log_sigma() -> None:
    nodes = np.log([0.5, 1.1, 2.3])
    for i in range(3):
        others = np.delete(nodes, i)

        def lagrange(sigma: float, i: int, others: np.ndarray) -> float:
            return float(np.prod((np.log(sigma) - others) / (nodes[i] - others)))

        expected, _ = quadrature.quad(partial(lagrange, i=i, others=others), 0.5, 0.2)
        assert _integral(nodes, i, 0.5, 0.2) == pytest.approx(expected)


def test_each_sample_may_have_coefficients_of_its_own() -> None:
    digits, two = get_task("digits"), (methods.dpmpp_2m, methods.dpmpp_3m)
    found = [traced(method, LEVELS) for method in two]
    padded = [one._replace(weights=np.pad(one.weights, ((0, 0), (0, 2 - one.weights.shape[1])))) for one in found]
    together = type(found[0])(*(np.stack(arrays, axis=-1) for arrays in zip(*padded, strict=True)))
    samples = follow(digits, together, np.repeat(noise(1), 2, axis=0))
    for sample, method in zip(samples, two, strict=True):
        np.testing.assert_allclose(sample[None], method(digits, LEVELS, noise(1)), atol=1e-12)


def test_what_is_no_sampler_of_this_form() -> None:
    with pytest.raises(ValueError, match="heun makes more than one denoiser call a step"):
        traced(lambda denoise, levels, x: integrate(denoise, levels, x, "heun"), LEVELS, "heun")
    with pytest.raises(ValueError, match="not exact where the denoiser is constant"):
        traced(lambda denoise, levels, x: x + sum(denoise(x, np.full(1, level)) for level in levels[:-1]), LEVELS)
