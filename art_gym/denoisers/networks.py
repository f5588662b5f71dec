"""The shipped networks: architecture, EDM preconditioning, and weights as safetensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional

from art_gym.common.files import replacing
from art_gym.common.messages import one_line, short
from art_gym.common.reading import MOST_WEIGHTS, check_regular, parse_json

SIGMA_DATA = 0.5
NO_LABEL = -1  # the label of an unconditional call
Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class NetworkConfig:
    """An architecture.

    Attributes:
        kind: "mlp" for a residual MLP over all pixels, "unet" for a small convolutional U-Net.
        shape: (channels, height, width).
        width: features of the MLP, or the unit of the U-Net's channels.
        blocks: residual blocks of the MLP, or of each resolution of the U-Net.
        labels: number of classes, 0 for none.
        dropout: dropout rate in the residual blocks.
        multipliers: channels of the U-Net at each resolution, finest first, in units of ``width``.
        patch: side of the squares of pixels that the U-Net takes as one, with a channel for each pixel.
    """

    kind: str
    shape: tuple[int, int, int]
    width: int
    blocks: int
    labels: int = 0
    dropout: float = 0.0
    multipliers: tuple[int, ...] = (1, 2, 2)
    patch: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "multipliers", tuple(self.multipliers))
        if self.kind not in ("mlp", "unet"):
            raise ValueError(f"unknown network {short(self.kind)}: choose mlp or unet")


class Preconditioned(nn.Module):
    """D(x, σ) = c_skip x + c_out F(c_in x, ln σ / 4) (Karras et al. 2022, equation 7)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.network = (MLP if config.kind == "mlp" else UNet)(config)

    def forward(self, x: torch.Tensor, sigma: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        """Return (B, *shape) denoised estimates. Labels are (B,) int64, NO_LABEL for none."""
        wide = sigma[:, None, None, None]
        total = wide**2 + SIGMA_DATA**2
        if label is None:
            label = torch.full((len(x),), NO_LABEL, device=x.device)
        found = self.network(x / total.sqrt(), torch.log(sigma) / 4, label)
        denoised: torch.Tensor = SIGMA_DATA**2 / total * x + wide * SIGMA_DATA / total.sqrt() * found
        return denoised


class Embedding(nn.Module):
    """Noise level and label as one vector."""

    frequencies: torch.Tensor

    def __init__(self, size: int, labels: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 ** torch.linspace(-1, 4, 16))
        self.noise = nn.Linear(32, size)
        self.label = nn.Embedding(labels + 1, size)  # the last row stands for no label

    def forward(self, noise: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return the (B, size) embedding."""
        angles = noise[:, None] * self.frequencies
        known = torch.where(label < 0, self.label.num_embeddings - 1, label)
        return functional.silu(self.noise(torch.cat([angles.sin(), angles.cos()], dim=1)) + self.label(known))


class MLP(nn.Module):
    """A residual MLP over all pixels, each block scaled and shifted by the embedding."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        pixels, width = config.shape[0] * config.shape[1] * config.shape[2], config.width
        self.embed = Embedding(64, config.labels)
        self.first, self.last = nn.Linear(pixels, width), nn.Linear(width, pixels)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.blocks))
        self.modulate = nn.ModuleList(nn.Linear(64, 2 * width) for _ in range(config.blocks))
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(config.blocks))
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in range(config.blocks))
        self.dropout = nn.Dropout(config.dropout)
        for layer in (*self.down, self.last):
            nn.init.zeros_(layer.weight)

    def forward(self, x: torch.Tensor, noise: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Map (B, *shape) to the same shape."""
        embedded = self.embed(noise, label)
        h = self.first(x.flatten(1))  # (B, width)
        for norm, modulate, up, down in zip(self.norms, self.modulate, self.up, self.down, strict=True):
            scale, shift = modulate(embedded).chunk(2, dim=1)
            h = h + down(self.dropout(functional.silu(up(norm(h) * (1 + scale) + shift))))
        found: torch.Tensor = self.last(h).reshape(x.shape)
        return found


class UNet(nn.Module):
    """Some resolutions, residual blocks scaled and shifted by the embedding, skips by concatenation."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, widths = config.shape[0] * config.patch**2, [config.width * m for m in config.multipliers]
        self.patch = config.patch
        self.embed = Embedding(64, config.labels)
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.last = nn.Conv2d(widths[0], channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        before = [widths[0], *widths[:-1]]
        self.down = nn.ModuleList(
            nn.ModuleList(Block(a if i == 0 else b, b, config.dropout) for i in range(config.blocks))
            for a, b in zip(before, widths, strict=True)
        )
        self.middle = Block(widths[-1], widths[-1], config.dropout)
        self.up = nn.ModuleList(
            nn.ModuleList(Block(2 * b if i == 0 else a, a, config.dropout) for i in range(config.blocks))
            for a, b in zip(before, widths, strict=True)
        )

    def forward(self, x: torch.Tensor, noise: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Map (B, *shape) to the same shape."""
        embedded = self.embed(noise, label)
        h, skips = self.first(functional.pixel_unshuffle(x, self.patch)), []  # (B, C, H/patch, W/patch)
        for level, blocks in enumerate(self.down):
            if level:
                h = functional.avg_pool2d(h, 2, ceil_mode=True)
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, embedded)
            skips.append(h)
        h = self.middle(h, embedded)
        for level in reversed(range(len(self.up))):
            h = torch.cat([h, skips[level]], dim=1)
            for block in self.up[level]:  # type: ignore[attr-defined]
                h = block(h, embedded)
            if level:
                h = functional.interpolate(h, size=skips[level - 1].shape[2:])
        return functional.pixel_shuffle(self.last(h), self.patch)


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, before: int, after: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, before), nn.GroupNorm(8, after)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.modulate = nn.Linear(64, 2 * after)
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """Map (B, before, H, W) to (B, after, H, W)."""
        h = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.modulate(embedded)[:, :, None, None].chunk(2, dim=1)
        h = functional.silu(self.norm2(h) * (1 + scale) + shift)
        found: torch.Tensor = self.skip(x) + self.conv2(self.dropout(h))
        return found


def save_weights(file: Path, network: nn.Module, config: Any, facts: dict[str, Any]) -> None:
    """Write a network as safetensors. The header holds its configuration and facts about how it was made."""
    from safetensors.torch import save_file

    metadata = {"config": json.dumps(asdict(config)), "facts": json.dumps(facts)}
    with replacing(file) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, temporary, metadata)


def read_weights(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any], str]:
    """Return tensors, configuration and facts from a file of `save_weights`, and the file's hash.

    Raises:
        ValueError: if the file is missing, truncated, or not one of ours. No code runs on load.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        check_regular(file, MOST_WEIGHTS)
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
        tensors = load_file(file)
        config, facts = parse_json(metadata["config"]), parse_json(metadata["facts"])
    except FileNotFoundError:
        raise ValueError(f"there is no weight file {file}: train it with `art-gym train-denoiser`") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is not a complete safetensors file ({error}): fetch or train it again") from None
    except (KeyError, ValueError):
        raise ValueError(f"{file} has no configuration of art_gym in its header: it is some other model") from None
    return tensors, config, facts, hashlib.sha256(Path(file).read_bytes()).hexdigest()


def filled(make: Callable[[], Net], tensors: dict[str, torch.Tensor]) -> Net:
    """Make a network with these weights, without drawing initial ones from torch's global generator."""
    with torch.device("meta"):
        network = make()
    network.load_state_dict(tensors, assign=True)
    return network


def load_network(file: Path) -> tuple[Preconditioned, dict[str, Any], str]:
    """Load a trained denoising network, its facts and its fingerprint. Raises a ValueError as `read_weights`."""
    tensors, config, facts, fingerprint = read_weights(file)
    try:
        network = filled(lambda: Preconditioned(NetworkConfig(**config)), tensors)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:  # of other keys, types or shapes
        raise ValueError(f"{file} does not fit its own configuration ({one_line(error, 200)})") from None
    return network.eval().requires_grad_(False), facts, fingerprint
