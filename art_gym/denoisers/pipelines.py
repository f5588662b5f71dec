"""Any diffusers pipeline as a denoiser: its own loop makes every call, with its prompts, guidance and conditions."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import torch

from art_gym.denoisers.base import RANGE_TOLERANCE
from art_gym.denoisers.diffusers_folders import check_scheduler
from art_gym.denoisers.model_calls import chosen, fingerprint_of, noise_range, tried
from art_gym.denoisers.pipeline_loop import Loop
from art_gym.denoisers.predictions import IMAGES_STD, LATENTS_STD, Prediction, scheduler_name
from art_gym.denoisers.torch_denoiser import TorchDenoiser


class PipelineDenoiser(TorchDenoiser):
    """What `from_pipeline` returns.

    With several prompts or classes, a latent has one more channel, which carries the choice of one
    (``carried_channels``). It is drawn with the noise, so that all conditions are equally likely, or set by `choose`.

    Attributes:
        loop: the pipeline's loop.
        pipeline: name of the pipeline's class.
        labels: one for each prompt or class.
        image: (*shape) clean latents that sampling begins from, for image-to-image. Latents here are the differences
            from them. 0 for other pipelines.
    """

    def __init__(
        self, loop: Loop, prediction: Prediction, shape: tuple[int, ...], image: torch.Tensor | float, **options: Any
    ) -> None:
        self.loop, self.prediction, self.image = loop, prediction, image
        self.pipeline = loop.name
        self.from_image = isinstance(image, torch.Tensor)
        self.labels = loop.labels()
        self.carried_channels = int(len(self.labels) > 1)
        whole = (shape[0] + self.carried_channels, *shape[1:])
        super().__init__(self._denoised, whole, decoder=self._ended, flow=prediction.flow, **options)

    def condition(self, x: np.ndarray) -> np.ndarray:
        """Return the (B,) indices of the prompts or classes of (B, *shape) noises."""
        return self._condition(torch.from_numpy(np.asarray(x))).numpy()

    def choose(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return (B, *shape) noises x at σ_max with the prompts or classes of these (B,) indices."""
        if not self.carried_channels:
            return x
        middle = torch.from_numpy((np.asarray(index) + 0.5) / len(self.labels))
        carried = self.sigma_max * torch.special.ndtri(middle) / x[0, -1].size ** 0.5
        made = x.copy()
        made[:, -1] = carried.numpy().reshape(-1, *[1] * (x.ndim - 2))
        return made

    def own_levels(self, num_steps: int) -> dict[str, np.ndarray]:
        """Return the (K+1,) levels that the pipeline takes by itself, by the name of its scheduler.

        Empty if the scheduler cannot take K steps.
        """
        with suppress(ValueError):
            self.loop.set_own(num_steps)
            levels = self.prediction.levels_of(self.loop.source)[-num_steps - 1 :]  # image-to-image takes the last ones
            if len(levels) == num_steps + 1 and levels[0] <= self.sigma_max * (1 + RANGE_TOLERANCE):
                return {scheduler_name(self.loop.source): levels}
        return {}

    def _condition(self, x: torch.Tensor) -> torch.Tensor:
        if not self.carried_channels:
            return torch.zeros(len(x), dtype=torch.long)
        return chosen(x[:, -1].double(), self.sigma_max, len(self.labels))

    def _denoised(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        own, carried = (x[:, :-1], x[:, -1:]) if self.carried_channels else (x, x[:, :0])
        network = partial(self._network, self._condition(x).to(x.device))
        denoised = self.prediction.function(network)(own + self.image, sigma) - self.image
        return torch.cat([denoised, carried], dim=1)

    def _network(self, condition: torch.Tensor, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return self.loop(latents, timestep, condition)

    def _ended(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.loop.ended(x + self.image))


def from_pipeline(
    pipe: Any,
    *,
    prediction_type: str | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    data_std: float | None = None,
    max_batch: int = 64,
    max_memory: float | None = None,
    **arguments: Any,
) -> PipelineDenoiser:
    """Return a denoiser D(x, σ) whose calls are made by a pipeline's own loop.

    The loop encodes prompts, guides, packs latents and adds masks and conditions as in ``pipe(...)``. In place of its
    scheduler it has one that hands it our latents at our level and takes what it predicts. So D is what the pipeline
    samples with, to float precision. What depends on the number of the step is not: the loop believes that each step is
    its first (``control_guidance_end``, callbacks).

    Each level is a run of the loop up to its first step. `from_diffusers` is faster, where no conditions are needed.

    With image-to-image (``strength`` below 1) D begins where the pipeline begins: at the level of this strength, and at
    the image. Sample with the found schedule at ``strength=1.0``, because all of its steps are below that level.

    Args:
        pipe: the pipeline object, on its device. Its networks are set to evaluation mode, and its scheduler is put back
            after each call.
        prediction_type, sigma_min, sigma_max, data_std: as for `from_diffusers`.
        max_batch, max_memory: as for `TorchDenoiser`.
        arguments: the pipeline's own, such as prompt, negative_prompt, guidance_scale, height, image. Lists of prompts,
            embeddings or class labels are conditions: each noise has one of them.

    Raises:
        ValueError: for arguments that the pipeline does not take or that differ in length, a loop that fails with them
            or calls no scheduler, or a scheduler without a table of noise levels.
    """
    loop = Loop(pipe, arguments)
    modules = {name: part.eval() for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    prediction = Prediction.of(check_scheduler(loop.source, f"the scheduler of {loop.name} is"), prediction_type)
    first, saw = loop.look()
    low, high = prediction.bounds
    image: torch.Tensor | float = 0.0
    if saw.image is not None:
        image = saw.image[0].float()
        high = min(prediction.level(float(torch.as_tensor(saw.begun).reshape(-1)[0])), high)
    bounds = noise_range(sigma_min, sigma_max, low, high)
    if data_std is None:
        latent = any(getattr(pipe, name, None) is not None for name in ("vae", "vqvae"))
        data_std = prediction.edm or (LATENTS_STD if latent else IMAGES_STD)
    facts = (loop.name, prediction.kind, prediction.table.tolist(), bounds, data_std)
    weights = {f"{name}.{key}": value for name, part in modules.items() for key, value in part.state_dict().items()}
    denoiser = PipelineDenoiser(
        loop,
        prediction,
        tuple(first.shape[1:]),
        image,
        sigma_min=bounds[0],
        sigma_max=bounds[1],
        data_std=data_std,
        max_batch=max_batch,
        max_memory=max_memory,
        device=first.device,
        fingerprint=fingerprint_of((*facts, *_hashes(arguments)), weights),
    )
    tried(denoiser)
    return denoiser


def _hashes(arguments: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and hashes of a pipeline's arguments, with the contents of images and tensors."""
    found = []
    for name, value in sorted(arguments.items()):
        content = value.detach().cpu().float().numpy() if isinstance(value, torch.Tensor) else value
        plain = isinstance(content, str | int | float | bool | list | tuple | dict | type(None))
        data = repr(content).encode() if plain else np.asarray(content).tobytes()
        found.append((name, hashlib.sha256(data).hexdigest()))
    return found
