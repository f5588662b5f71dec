"""Check that k-diffusion's samplers, with an exported schedule, give the same samples as our solvers."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch

from art_gym.export import k_diffusion_sampler
from art_gym.samplers import Sampler
from art_gym.schedules import Schedule
from art_gym.schedules.closed_forms import art
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import get_task

SAMPLERS = {"euler": "sample_euler", "heun": "sample_heun", "dpmpp_2m": "sample_dpmpp_2m"}
CLOSE = {torch.float32: 1e-4, torch.float64: 1e-10}  # rounding over a run, in units of the data


def load() -> Any:
    """Import k_diffusion.sampling only. The package also imports CLIP, scikit-image and others, not needed here."""
    found = importlib.util.find_spec("k_diffusion")
    if found is None:
        raise ImportError("no k_diffusion")
    package = ModuleType("k_diffusion")
    package.__path__ = list(found.submodule_search_locations or [])
    sys.modules["k_diffusion"] = package
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules.setdefault(name, MagicMock())  # for reading image files
    return importlib.import_module("k_diffusion.sampling")


try:
    k_diffusion = load()
except ImportError:
    print("k-diffusion is not installed: pip install k-diffusion")
    sys.exit(0)

for task, dtype in (("digits_net", torch.float32), ("ring_2d", torch.float64)):  # a network, and an exact denoiser
    denoiser = get_task(task)
    noise = torch.randn(64, *denoiser.shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    start = denoiser.sigma_max * noise
    schedule = Schedule(tuple(art(denoiser, 8, start.numpy())), "ART closed form", task)
    sigmas = torch.tensor(schedule.to_sigmas(), dtype=dtype)
    for solver, name in SAMPLERS.items():
        with torch.no_grad():
            theirs = getattr(k_diffusion, name)(denoiser, start, sigmas, disable=True)  # disable its progress bar
            ours = integrate(denoiser, schedule.sigmas, start, solver)
        apart = float((ours - theirs).abs().max())
        print(f"{task}, {dtype}, {name}: at most {apart:.1g} apart, samples up to {float(ours.abs().max()):.2g}")
        assert apart < CLOSE[dtype]
        if solver != "heun":  # which makes two calls a step, and so is no sampler
            sample = k_diffusion_sampler(Sampler.of(schedule, solver))
            apart = float((sample(denoiser, start, sigmas, disable=True) - theirs).abs().max())
            print(f"{task}, {dtype}, {name} as k_diffusion_sampler: at most {apart:.1g} apart")
            assert apart < CLOSE[dtype]
