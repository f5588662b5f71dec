"""Any diffusers pipeline as a denoiser: its own loop makes every call, with its prompts, guidance and conditions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import torch

from art_gym.denoisers.base import RANGE_TOLERANCE, Array, Walk
from art_gym.denoisers.diffusers_folders import check_scheduler
from art_gym.denoisers.model_calls import chosen, fingerprint_of, noise_range, tried
from art_gym.denoisers.pipeline_arguments import callbacks, hashes
from art_gym.denoisers.pipeline_loop import Loop
from art_gym.denoisers.pipeline_schedulers import Calls
from art_gym.denoisers.predictions import IMAGES_STD, LATENTS_STD, Prediction, scheduler_name
from art_gym.denoisers.torch_denoiser import TorchDenoiser

SEEN = 10  # steps of a run in which the loop is seen to depend on their number
DIFFER = 1e-4  # relative differences of predictions that rounding does not explain


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
        whole: whether D depends on the number of the step, so that samples must be whole runs.
        whole_run: see `Denoiser`.
    """

    def __init__(
        self,
        loop: Loop,
        prediction: Prediction,
        shape: tuple[int, ...],
        image: torch.Tensor | float,
        whole: bool,
        **options: Any,
    ) -> None:
        self.loop, self.prediction, self.image, self.whole = loop, prediction, image, whole
        self.pipeline = loop.name
        self.from_image = isinstance(image, torch.Tensor)
        self.labels = loop.labels()
        self.carried_channels = int(len(self.labels) > 1)
        latent = (shape[0] + self.carried_channels, *shape[1:])
        super().__init__(self._denoised, latent, decoder=self._ended, flow=prediction.flow, **options)

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
        own, carried = self._split(x)
        network = partial(self.loop, condition=self._condition(x).to(x.device))
        return self._joined(self.prediction.function(network)(own, sigma), carried)

    def _split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The pipeline's own latents in float32, and what carries the condition."""
        own, carried = (x[:, :-1], x[:, -1:]) if self.carried_channels else (x, x[:, :0])
        return own.to(self.device, torch.float32) + self.image, carried

    def _joined(self, own: torch.Tensor, carried: torch.Tensor) -> torch.Tensor:
        return torch.cat([(own - self.image).to(carried), carried], dim=1)

    def whole_run(
        self, walk: Callable[[Array], Walk], levels: np.ndarray, told: np.ndarray, x: torch.Tensor
    ) -> torch.Tensor:
        """See `Denoiser`. Noises of one condition follow each other, because encodings are kept by their order."""
        condition, samples = self._condition(x), torch.empty_like(x)
        order = torch.argsort(condition, stable=True)
        part = partial(self._part, walk, levels, told)
        samples[order] = self._batches("network", part, x[order], condition[order])
        return samples

    def _part(
        self,
        walk: Callable[[Array], Walk],
        levels: np.ndarray,
        told: np.ndarray,
        x: torch.Tensor,
        condition: torch.Tensor,
    ) -> torch.Tensor:
        """A whole run of the loop with (B, *shape) latents."""
        sigmas = torch.tensor(told, dtype=torch.float32, device=self.device)
        own, _ = self._split(x)
        noise = (own - self.image) / levels[0]

        def noised(clean: torch.Tensor, place: int) -> torch.Tensor:
            return self.prediction.call(clean + levels[place] * noise, sigmas[place].expand(len(clean)))[0]

        timesteps = self.prediction.call(torch.zeros_like(sigmas), sigmas)[1].tolist()
        with torch.no_grad(), self._precision():
            found: torch.Tensor = self.loop.run(self._calls(walk(x)), timesteps, condition.tolist(), noised)
        return found

    def _calls(self, walk: Walk) -> Calls:
        """The calls of the network of a walk."""
        x, sigma = next(walk)
        while True:
            level = sigma.to(self.device, torch.float32)
            own, carried = self._split(x)
            scaled, _ = self.prediction.call(own, level)
            used, output = yield scaled
            if used is not scaled:
                own = self.prediction.latents(used, level)
                x = self._joined(own, carried)
            denoised = self._joined(self.prediction.estimate(own, level, output), carried)
            try:
                x, sigma = walk.send((x, denoised))
            except StopIteration as end:
                return end.value

    def _ended(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.loop.ended(x + self.image))


def from_pipeline(
    pipe: Any,
    *,
    prediction_type: str | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    data_std: float | None = None,
    whole: bool | None = None,
    max_batch: int = 64,
    max_memory: float | None = None,
    **arguments: Any,
) -> PipelineDenoiser:
    """Return a denoiser D(x, σ) whose calls are made by a pipeline's own loop.

    The loop encodes prompts, guides, packs latents and adds masks and conditions as in ``pipe(...)``. In place of its
    scheduler it has one that hands it our latents at our levels and takes what it predicts. So D is what the pipeline
    samples with, to float precision.

    A sampler with one call a step is a whole run of the loop, so its steps have the numbers that they have in the
    pipeline (``control_guidance_end``, callbacks). A single call D(x, σ) is a run of the loop up to its first step.
    `from_diffusers` is faster, where no conditions are needed.

    With image-to-image (``strength`` below 1) D begins where the pipeline begins: at the level of this strength, and at
    the image. Sample with the found schedule at ``strength=1.0``, because all of its steps are below that level.

    Args:
        pipe: the pipeline object, on its device. Its networks are set to evaluation mode, and its scheduler is put back
            after each call.
        prediction_type, sigma_min, sigma_max, data_std: as for `from_diffusers`.
        whole: whether the predictions depend on the number of the step, so that searches must not put single calls
            together either. By default this is seen: they do if a callback is given, or if the calls of a run of ten
            steps differ at the same level.
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
    if whole is None:
        time = float(prediction.call(first[:, :0], torch.full((1,), (bounds[0] * bounds[1]) ** 0.5))[1])
        whole = bool(callbacks(arguments)) or depends_on_step(loop, first, time)
    facts: tuple[object, ...] = (loop.name, prediction.kind, prediction.table.tolist(), bounds, data_std)
    if whole:  # endpoints are then those of the pipeline's own schedule
        facts += (scheduler_name(loop.source), sorted(loop.source.config.items()))
    weights = {f"{name}.{key}": value for name, part in modules.items() for key, value in part.state_dict().items()}
    denoiser = PipelineDenoiser(
        loop,
        prediction,
        tuple(first.shape[1:]),
        image,
        whole,
        sigma_min=bounds[0],
        sigma_max=bounds[1],
        data_std=data_std,
        max_batch=max_batch,
        max_memory=max_memory,
        device=first.device,
        fingerprint=None if callbacks(arguments) else fingerprint_of((*facts, *hashes(arguments)), weights),
    )
    tried(denoiser)
    return denoiser


def depends_on_step(loop: Loop, latents: torch.Tensor, timestep: float) -> bool:
    """Whether a loop predicts something else in one step than in another, from (1, *shape) latents at a timestep.

    That is also so if it changes the latents between its steps.
    """

    def calls() -> Calls:
        predicted = []
        for _ in range(SEEN):
            _, output = yield latents
            predicted.append(output)
        return torch.stack(predicted)

    with torch.no_grad():
        outputs = loop.run(calls(), [timestep] * SEEN, [0], lambda clean, _: clean + latents)
        return bool((outputs - outputs[0]).abs().max() > DIFFER * outputs.abs().max())
