"""Times samples of a UNet of diffusers by our loop beside a bare loop over the network, on any device.

    python benchmarks/overhead.py --device cuda --dtype float16
    python benchmarks/overhead.py --size tiny

The large one has 100 million parameters. Both loops take the same Euler steps from the same noises. Ours is the one
that `art-gym learn` calls: it counts and checks each call, and its latents come back to the host at the end.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
import tyro

from art_gym.agents.learn.budget import Budget, Metered
from art_gym.agents.learn.trial import Noises, Trial
from art_gym.denoisers import from_diffusers
from art_gym.denoisers.torch_denoiser import TorchDenoiser
from art_gym.denoisers.variance_preserving import fractional_timesteps, vp_sigmas
from art_gym.schedules import make_grid
from art_gym.solvers.base import get_solver

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 8},
    "large": {"block_out_channels": (192, 384, 384, 512), "layers_per_block": 2, "sample_size": 32},
}
WANTED = 0.05  # overhead, at most


@dataclass(frozen=True)
class Overhead:
    """Time both loops in turn and print one line of JSON.

    Attributes:
        size: of the UNet.
        device: cpu, cuda or mps.
        dtype: of the network.
        compile: compile it with torch.compile.
        batch: latents in one call.
        steps: K.
        repeats: runs of each loop. The medians are compared.
    """

    size: Literal["tiny", "large"] = "large"
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    batch: int = 16
    steps: int = 10
    repeats: int = 7

    def run(self) -> dict[str, Any]:
        """Return the settings, and what was measured."""
        network, scheduler = unet(self.size)
        kind, options = getattr(torch, self.dtype), {"device": self.device, "compile": self.compile}
        denoiser = from_diffusers(network, scheduler, dtype=kind, max_batch=self.batch, **options)
        levels = make_grid("edm", self.steps, denoiser)
        noise = np.random.default_rng(0).standard_normal((self.batch, *denoiser.shape), np.float32)
        start = np.float32(denoiser.sigma_max) * noise
        trial = Trial(denoiser, Metered(denoiser, Budget()), get_solver("euler"))
        loops: dict[str, Callable[[], np.ndarray]] = {
            "bare": lambda: bare(network, scheduler, levels, start, denoiser.device, kind),
            "ours": lambda: trial.sample(levels, Noises(start, start)),
        }
        found = {name: loop() for name, loop in loops.items()}  # and everything is warm
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(self.repeats):
            for name, loop in loops.items():
                seconds[name].append(timed(loop, denoiser))
        medians = {f"{name}_seconds": statistics.median(values) for name, values in seconds.items()}
        return {
            **asdict(self),
            "device": device_name(denoiser.device),
            "parameters": sum(weights.numel() for weights in network.parameters()),
            **medians,
            "overhead": medians["ours_seconds"] / medians["bare_seconds"] - 1,
            "wanted": WANTED,
            "difference": float(np.abs(found["ours"] - found["bare"]).max() / np.abs(found["bare"]).max()),
        }


def unet(size: str) -> tuple[Any, Any]:
    """A UNet with seeded weights, and the scheduler of its noise levels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from diffusers on import
        import diffusers

    torch.manual_seed(0)
    depth = len(SIZES[size]["block_out_channels"])
    blocks = {
        "down_block_types": ("DownBlock2D",) * (depth - 1) + ("AttnDownBlock2D",),
        "up_block_types": ("AttnUpBlock2D",) + ("UpBlock2D",) * (depth - 1),
    }
    made: Any = diffusers.UNet2DModel
    return made(in_channels=3, out_channels=3, **SIZES[size], **blocks), diffusers.DDPMScheduler()


@torch.no_grad()
def bare(
    network: Any, scheduler: Any, levels: np.ndarray, start: np.ndarray, device: torch.device, dtype: torch.dtype
) -> np.ndarray:
    """Euler steps with nothing around the network's calls.

    Args:
        network, scheduler: what predicts the noise, and at which timesteps.
        levels: (K+1,) with a trailing 0.
        start: (B, *shape) noises at the first level.
        device, dtype: of the network.

    Returns:
        (B, *shape) samples.
    """
    timesteps = fractional_timesteps(levels[:-1], vp_sigmas(scheduler))
    x = torch.from_numpy(start).to(device)
    for sigma, sigma_next, timestep in zip(levels, levels[1:], timesteps, strict=False):
        time = torch.full((len(x),), timestep, device=device, dtype=torch.float32)
        noise = network((x / (1 + sigma**2) ** 0.5).to(dtype), time).sample.float()
        x = x + (sigma_next - sigma) * noise
    return x.cpu().numpy()


def timed(loop: Callable[[], object], denoiser: TorchDenoiser) -> float:
    """Seconds of one run, which ends with latents on the host."""
    if denoiser.device.type == "cuda":
        torch.cuda.synchronize(denoiser.device)
    began = time.perf_counter()
    loop()
    return time.perf_counter() - began


def device_name(device: torch.device) -> str:
    """The name of a card, or the kind of device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


if __name__ == "__main__":
    print(json.dumps(tyro.cli(Overhead).run()))
