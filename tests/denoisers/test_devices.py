"""Runs of a model stay on its device: latents go there once, and only the last ones come back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from art_gym.agents.learn.budget import Budget, Metered
from art_gym.agents.learn.trial import Noises, Trial
from art_gym.denoisers import from_callable
from art_gym.denoisers.base import Counted
from art_gym.denoisers.torch_denoiser import TorchDenoiser
from art_gym.evaluation.sampling import sample
from art_gym.samplers import Sampler
from art_gym.samplers.freedom import Freedom
from art_gym.schedules import make_grid
from art_gym.search.evolution import evolve
from art_gym.search.gauss_newton import GaussNewton
from art_gym.search.sampler_newton import SamplerNewton, within
from art_gym.search.spaces import Grids, Samplers
from art_gym.solvers.base import get_solver
from art_gym.tasks.noise_bank import precise_endpoints
from art_gym.tasks.registry import get_task

K, COUNT = 4, 6
SHAPE = (2, 4, 4)
WEIGHT = torch.nn.Parameter(torch.tensor(0.25))  # a model whose parameters want gradients


def model() -> TorchDenoiser:
    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        share = WEIGHT / (WEIGHT + sigma[:, None, None, None] ** 2)
        return torch.tanh(share * x)

    return from_callable(denoise, SHAPE, sigma_max=20.0, fingerprint="tanh")


START = 20 * np.random.default_rng(0).standard_normal((COUNT, *SHAPE), np.float32)
ENDS = np.zeros_like(START)
LEVELS = make_grid("arctan", K, model())
SAMPLER = Sampler.of(LEVELS, "dpmpp_2m").coefficients()


def newton(denoiser: TorchDenoiser) -> np.ndarray:
    return GaussNewton(Counted(denoiser), get_solver("dpmpp_2m"), START, ENDS).improve(np.zeros(K - 1), 2).numbers


def sampler_newton(denoiser: TorchDenoiser) -> np.ndarray:
    freedom = Freedom(2)
    fit = SamplerNewton(Counted(denoiser), K, within(freedom, K, denoiser), START, ENDS)
    return fit.improve(freedom.numbers(SAMPLER, denoiser), 1).numbers


def trial(plan: object) -> Callable[[TorchDenoiser], np.ndarray]:
    def run(denoiser: TorchDenoiser) -> np.ndarray:
        tried = Trial(denoiser, Metered(denoiser, Budget()), get_solver("dpmpp_2m"))
        return tried.sample(plan, Noises(START, ENDS))

    return run


RUNS: dict[str, tuple[Callable[[TorchDenoiser], np.ndarray], int]] = {  # and how many times latents come back
    "a schedule": (trial(LEVELS), 1),
    "a sampler": (trial(SAMPLER), 1),
    "precise endpoints": (lambda denoiser: precise_endpoints(denoiser, START), 1),
    "art_gym.sample": (lambda denoiser: sample(denoiser, LEVELS, START / 20).samples, 3),  # two checks of D before
    "CMA-ES on grids": (lambda of: [*evolve(Grids(of, K, "euler"), START, ENDS, 2, batch=3)][-1], 2),
    "CMA-ES on samplers": (
        lambda of: [*evolve(Samplers(of, K, Freedom(2)), START, ENDS, 2, batch=3)][-1].told,
        2,
    ),
    "Gauss-Newton on grids": (newton, -1),
    "Gauss-Newton on samplers": (sampler_newton, -1),
}


@pytest.fixture
def back(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Shapes of what came back from the device."""
    shapes: list[torch.Size] = []
    numpy = torch.Tensor.numpy

    def noted(tensor: torch.Tensor, *arguments: object, **named: object) -> np.ndarray:
        shapes.append(tensor.shape)
        return numpy(tensor, *arguments, **named)

    monkeypatch.setattr(torch.Tensor, "numpy", noted)
    return shapes


@pytest.mark.parametrize("name", RUNS)
def test_only_the_last_latents_come_back(name: str, back: list[torch.Size]) -> None:
    run, expected = RUNS[name]
    denoiser, calls = model(), 0
    function = denoiser.function

    def counted(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        assert not torch.is_grad_enabled()
        return function(x, sigma)

    denoiser.function = counted
    found = run(denoiser)
    assert isinstance(found, np.ndarray)
    assert np.isfinite(found).all()
    if expected < 0:  # a search: each run that it makes ends once, after one call or more
        assert 2 <= len(back) < calls
    else:
        assert len(back) == expected
        assert calls > len(back)


@pytest.mark.parametrize("name", RUNS)
def test_numpy_gives_the_same(name: str) -> None:
    """To rounding, for a denoiser that takes and gives arrays of numpy."""
    denoiser, run = model(), RUNS[name][0]
    there = run(denoiser)
    arrays = {key: getattr(denoiser, key) for key in ("shape", "sigma_min", "sigma_max", "data_std")}
    plain = type("Plain", (), {**arrays, "__call__": lambda _, x, sigma: denoiser(x, sigma)})()
    np.testing.assert_allclose(run(plain), there, rtol=2e-3, atol=1e-4)


def test_tasks_of_numpy_stay_with_numpy() -> None:
    seen: list[type] = []
    task = get_task("ring_2d")
    kind = {key: getattr(task, key) for key in ("shape", "sigma_min", "sigma_max", "data_std")}
    watched = type("Watched", (), {**kind, "__call__": lambda _, x, s: (seen.append(type(x)), task(x, s))[1]})()
    GaussNewton(Counted(watched), get_solver("euler"), np.ones((3, 2)), np.zeros((3, 2))).improve(np.zeros(K - 1), 1)
    assert set(seen) == {np.ndarray}


def test_values_that_are_not_finite_are_named_there_too() -> None:
    denoiser = from_callable(lambda x, sigma: x / (sigma[:, None, None, None] > 1), SHAPE, sigma_max=20.0)
    metered = Metered(denoiser, Budget())
    with pytest.raises(ValueError, match=r"not finite at sigma = 0\.5"):
        metered(torch.ones(2, *SHAPE), torch.tensor([0.5, 2.0]))
