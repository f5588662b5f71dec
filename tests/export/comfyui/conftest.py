"""A stand-in for ComfyUI with our nodes in it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from art_gym.tasks.registry import get_task

FOLDER = Path(__file__).parents[3] / "integrations" / "comfyui" / "art_gym_nodes"


class Eps:
    """A model in σ, such as Stable Diffusion."""

    sigma_min, sigma_max = torch.tensor(0.01), torch.tensor(80.0)

    def noise_scaling(self, sigma: torch.Tensor, noise: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        return latents + sigma * noise

    def inverse_noise_scaling(self, sigma: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        return latents


class Const:
    """A flow model, such as Flux."""

    sigma_min, sigma_max = torch.tensor(0.01), torch.tensor(1.0)

    def noise_scaling(self, sigma: torch.Tensor, noise: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        return sigma * noise + (1 - sigma) * latents

    def inverse_noise_scaling(self, sigma: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        return latents / (1 - sigma)


class Model:
    """The exact ring_2d as ComfyUI hands a model to a sampler's function: its sampling is two models deeper."""

    def __init__(self, flow: bool) -> None:
        self.flow, self.calls = flow, 0
        self.inner_model = SimpleNamespace(inner_model=SimpleNamespace(model_sampling=Const() if flow else Eps()))

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, seed: int | None = None) -> torch.Tensor:
        self.calls += 1
        assert sigma.shape == (len(x),)
        ring = get_task("ring_2d")
        sigmas = sigma / (1 - sigma) if self.flow else sigma
        denoised: torch.Tensor = ring(x / (1 - sigma[:, None]) if self.flow else x, sigmas)
        return denoised

    def get_model_object(self, name: str) -> Any:
        return getattr(self.inner_model.inner_model, name)


class KSampler:
    """What ComfyUI's KSAMPLER does around the function of a sampler."""

    def __init__(self, sampler_function: Callable[..., torch.Tensor]) -> None:
        self.sampler_function = sampler_function

    def sample(self, model: Model, sigmas: torch.Tensor, noise: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        sampling: Eps | Const = model.get_model_object("model_sampling")
        x = sampling.noise_scaling(sigmas[0], noise, latents)
        x = self.sampler_function(model, x, sigmas, extra_args={"seed": 1}, callback=None, disable=True)
        return sampling.inverse_noise_scaling(sigmas[-1], x)


def folder_paths(models: Path) -> ModuleType:
    """ComfyUI's module of folders."""
    known: dict[str, tuple[list[str], set[str]]] = {}

    def names(name: str) -> list[str]:
        paths, suffixes = known[name]
        return sorted(file.name for path in paths for file in Path(path).iterdir() if file.suffix in suffixes)

    def full(name: str, file: str) -> str | None:
        return next((str(Path(path) / file) for path in known[name][0] if (Path(path) / file).is_file()), None)

    def add(name: str, path: str) -> None:
        known.setdefault(name, ([], set()))[0].append(path)

    module = ModuleType("folder_paths")
    vars(module).update(models_dir=str(models), folder_names_and_paths=known)
    vars(module).update(get_filename_list=names, get_full_path=full, add_model_folder_path=add)
    return module


@pytest.fixture
def comfyui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The folder of our files, the package of our nodes, a maker of our nodes, and one of models."""
    modules = {name: ModuleType(name) for name in ("comfy", "comfy.samplers", "comfy.model_sampling")}
    modules["folder_paths"] = folder_paths(tmp_path)
    vars(modules["comfy.samplers"])["KSAMPLER"] = KSampler
    vars(modules["comfy.model_sampling"])["CONST"] = Const
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
        if name.startswith("comfy."):
            setattr(modules["comfy"], name.removeprefix("comfy."), module)
    spec = importlib.util.spec_from_file_location("art_gym_nodes", FOLDER / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.setitem(sys.modules, "art_gym_nodes", package := importlib.util.module_from_spec(spec))
    spec.loader.exec_module(package)
    yield SimpleNamespace(
        files=tmp_path / "art_gym",
        package=package,
        node=lambda name: package.NODE_CLASS_MAPPINGS[name](),
        model=Model,
    )
    for name in [name for name in sys.modules if name.startswith("art_gym_nodes.")]:
        del sys.modules[name]
