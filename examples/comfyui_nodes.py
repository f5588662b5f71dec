"""Check that ComfyUI's nodes, with an exported line of levels, give the same samples as our solvers.

Run python examples/comfyui_nodes.py path/to/ComfyUI, or set COMFYUI to that folder. ComfyUI's requirements must be
installed (torchvision and torchaudio may be missing). ManualSigmas reads the line and SamplerCustomAdvanced samples.
All code is ComfyUI's own except the network in its BaseModel, which is one of our denoisers, and our node ART Sampler
in integrations/comfyui, which reads a sampler file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import MagicMock

import torch

from art_gym.samplers import Sampler, follow
from art_gym.schedules import Schedule
from art_gym.schedules.closed_forms import art
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import get_task

CLOSE = 1e-5  # for samples up to 2, because ComfyUI computes in float32
FOR_FILES = {  # of images and sound, and their parts that ComfyUI imports
    "torchvision": ("transforms", "transforms.functional", "ops"),
    "torchaudio": ("transforms", "functional"),
}
OURS = Path(__file__).parents[1] / "integrations" / "comfyui" / "art_gym_nodes"
SMALL = Schedule((1234.5678, 2e-3, 3.14159265e-5, 6.28e-9, 0.0), "levels that Python prints with exponents")


def load(folder: Path) -> Any:
    """Import comfy_extras.nodes_custom_sampler, for the CPU."""
    if not (folder / "comfy_extras" / "nodes_custom_sampler.py").is_file():
        raise ImportError("no such folder")
    sys.path.insert(0, str(folder.resolve()))
    logging.disable(logging.WARNING)  # warnings about a missing torchaudio
    import_module("transformers")  # it looks for torchvision, and must not find the mocks below
    for library, parts in FOR_FILES.items():
        try:
            import_module(library)
        except (ImportError, RuntimeError):  # missing, or built for another torch
            names = [library, *(f"{library}.{part}" for part in parts)]
            sys.modules.update(dict.fromkeys(names, MagicMock()))
    import_module("comfy.cli_args").args.cpu = True  # like --cpu; it does not read our command line
    import_module("comfy.utils").PROGRESS_BAR_ENABLED = False
    return import_module("comfy_extras.nodes_custom_sampler")


def wide(level: torch.Tensor) -> torch.Tensor:
    """Shape (B,) as (B, 1, 1, 1)."""
    return level.reshape(-1, 1, 1, 1)


def in_s(denoise: Callable) -> Callable:
    """D as a function of a flow's z = (1 − s) x₀ + s ε and s: x = z/(1 − s) has the noise level σ = s/(1 − s)."""
    return lambda z, s: denoise(z / wide(1 - s), s / (1 - s))


class Network(torch.nn.Module):
    """A denoiser as an EDM or flow network. ComfyUI turns its output into a denoiser again."""

    dtype = torch.float32

    def __init__(self, denoiser: Any, flow: bool) -> None:
        super().__init__()
        self.denoiser, self.flow = denoiser, flow

    def denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """D(x, σ) of ComfyUI's latents, (B, C, H, W)."""
        return self.denoiser(x.reshape(-1, *self.denoiser.shape), sigma).reshape(x.shape)

    def forward(self, x: torch.Tensor, t: torch.Tensor, **conditions: object) -> torch.Tensor:
        x, t = x.double(), t.double()  # no further rounding
        if self.flow:  # t = 1000 s; the velocity is ε − x₀ = (z − D)/s
            return (x - in_s(self.denoise)(x, t / 1000)) / wide(t / 1000)
        sigma, std = (4 * t).exp(), self.denoiser.data_std  # t = ¼ ln σ
        total = (wide(sigma) ** 2 + std**2).sqrt()  # √(σ² + s₀²): x arrives divided by this
        return (self.denoise(x * total, sigma) - x * std**2 / total) * total / (wide(sigma) * std)


def patcher(network: Network) -> Any:
    """A model as ComfyUI's loaders give it to the nodes. Only ComfyUI's own schedules use the shift of a flow."""
    base, config = import_module("comfy.model_base"), import_module("comfy.supported_models_base").BASE({})
    config.unet_config["disable_unet_model_creation"] = True
    config.latent_format.latent_channels = network.denoiser.shape[0]
    names = {"sigma_min": "sigma_min", "sigma_max": "sigma_max", "sigma_data": "data_std"}
    of_edm = {theirs: getattr(network.denoiser, ours) for theirs, ours in names.items()}
    config.sampling_settings = {"shift": 3.0} if network.flow else of_edm
    model = base.BaseModel(config, base.ModelType.FLOW if network.flow else base.ModelType.EDM)
    model.diffusion_model = network
    return import_module("comfy.model_patcher").ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def read(schedule: Schedule) -> tuple[torch.Tensor, torch.Tensor]:
    """The levels that ManualSigmas reads from the line, and the expected ones: σ, or s = σ/(1 + σ) for a flow."""
    found, sigmas = nodes.ManualSigmas.execute(schedule.to_comfyui())[0], torch.tensor(schedule.sigmas).double()
    levels = sigmas / (1 + sigmas) if schedule.flow else sigmas
    torch.testing.assert_close(found, levels.float(), rtol=0, atol=0)
    return found, levels


def of_file(sampler: Sampler) -> tuple[Any, torch.Tensor]:
    """The sampler and the levels that ART Sampler gives for the sampler's file."""
    sampler.save(Path(scratch.name) / "sampler.json")
    found = import_module("nodes").NODE_CLASS_MAPPINGS["ARTSampler"]().load("sampler.json")
    assert isinstance(found[0], import_module("comfy.samplers").KSAMPLER)
    return found


try:
    nodes = load(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("COMFYUI", "")))
except ImportError as error:
    print(f"cannot load ComfyUI ({error}): name its folder, or set COMFYUI to it, and install its requirements")
    sys.exit(0)

samplers = {name: (nodes.KSamplerSelect.execute(name)[0], name) for name in ("euler", "heun", "dpmpp_2m")}
without_noise = nodes.SamplerDPMPP_2M_SDE.execute(solver_type="midpoint", eta=0.0, s_noise=1.0, noise_device="cpu")[0]
samplers["dpmpp_2m_sde, eta 0"] = without_noise, "dpmpp_2m"

scratch = TemporaryDirectory()
assert asyncio.run(import_module("nodes").load_custom_node(str(OURS)))
import_module("folder_paths").add_model_folder_path("art_gym", scratch.name, is_default=True)

for task in ("digits_net", "ring_2d"):  # a network, and an exact denoiser
    denoiser = get_task(task)
    latent = {"samples": torch.zeros(64, *(*denoiser.shape, 1, 1)[:3])}  # images, whatever the task's shape
    random = nodes.RandomNoise.execute(0)[0]
    noise = random.generate_noise(latent).double()
    start = (denoiser.sigma_max * noise).reshape(-1, *denoiser.shape).float()
    found = Schedule(tuple(art(denoiser, 8, start.numpy())), "ART closed form", task)
    for flow in (False, True):  # the same denoiser as a model of either kind
        network, schedule = Network(denoiser, flow), replace(found, flow=flow)
        read(replace(SMALL, flow=flow))
        sigmas, (line, levels) = schedule.sigmas, read(schedule)
        # At the model's largest level ComfyUI starts from √(1 + σ²) ε, as if data had variance 1. A flow has s ε.
        first = sigmas[0] if flow else (1 + sigmas[0] ** 2) ** 0.5
        guider = nodes.BasicGuider.execute(patcher(network), [[None, {}]])[0]  # no prompt
        for name, (sampler, solver) in samplers.items():
            theirs = nodes.SamplerCustomAdvanced.execute(random, guider, sampler, line, latent)[0]["samples"]
            with torch.no_grad():
                ours, note = integrate(network.denoise, sigmas, first * noise, solver), ""
                # Euler in s is Euler in σ. ComfyUI's heun and dpmpp_2m use s as σ. They differ from ours in σ, and are
                # the same as ours in s. dpmpp_2m_sde uses log σ of a flow, so without its noise it is our 2M.
                if flow and name in ("heun", "dpmpp_2m"):
                    note = f"; in σ, another method: {float((ours - theirs).abs().max()):.1g}"
                    ours = integrate(in_s(network.denoise), levels, levels[0] * noise, solver)
            apart, size = float((ours - theirs).abs().max()), float(ours.abs().max())
            kind = "flow" if flow else "EDM"
            print(f"{task}, {kind}, {name}: at most {apart:.1g} apart, samples up to {size:.2g}{note}")
            assert apart < CLOSE
        learned = Sampler(
            sigmas, (1.0, *[1.02] * 7), tuple((0.4, -0.1)[:k] for k in range(8)), "as if learned", flow=flow
        )
        sampler, line = of_file(learned)
        theirs = nodes.SamplerCustomAdvanced.execute(random, guider, sampler, line, latent)[0]["samples"]
        with torch.no_grad():
            ours = follow(network.denoise, learned.coefficients(), first * noise)
        apart = float((ours - theirs).abs().max())
        print(f"{task}, {'flow' if flow else 'EDM'}, ART Sampler: at most {apart:.1g} apart")
        assert apart < CLOSE
