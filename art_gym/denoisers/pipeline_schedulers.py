"""Schedulers that stand in for a pipeline's own, to have one call of its network made by its loop.

This module does not import diffusers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

STEPS = 2  # that a loop is told of; it seldom comes to the second


class Reached(Exception):
    """Ends a pipeline's loop where it has what we want.

    Attributes:
        sample: latents that the loop gave to the step.
        output: what the network predicted, after guidance.
    """

    def __init__(self, sample: torch.Tensor, output: torch.Tensor) -> None:
        super().__init__("the loop was ended")
        self.sample, self.output = sample, output


class Stepped(NamedTuple):
    """What a step returns to a loop."""

    prev_sample: torch.Tensor


class Stand:
    """Stands in for a pipeline's scheduler. It ends the loop at the first step. Everything else is the scheduler's own.

    Attributes:
        image: latents of an image that the loop began with, for image-to-image, or None.
        begun: timestep of the level at which it began.
    """

    def __init__(self, source: Any) -> None:
        self.source = source
        self.image: torch.Tensor | None = None
        self.begun: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """Note the image that the loop begins with."""
        self.image, self.begun = original_samples, timesteps
        return original_samples

    def scale_noise(self, sample: torch.Tensor, timestep: Any = None, noise: Any = None) -> torch.Tensor:
        """Do what `add_noise` does, under the name and with the order of flow models."""
        return self.add_noise(sample, noise, timestep)

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *_: Any, **__: Any) -> Stepped:
        """End the loop."""
        raise Reached(sample, model_output)


class OneCall(Stand):
    """Has the network called with our latents at our timestep.

    It hands the loop our latents where it can: in ``scale_model_input``, which loops of Stable Diffusion call, and as
    the result of a first step, whose prediction is not used.

    Args:
        source: the pipeline's scheduler.
        timestep: of the call.
        latents: (B, *shape) in the scaling of the network.
    """

    order = 1
    init_noise_sigma = 1.0
    num_inference_steps = STEPS
    step_index = begin_index = None

    def __init__(self, source: Any, timestep: float, latents: torch.Tensor) -> None:
        super().__init__(source)
        self.latents, self.handed = latents, False
        self.timesteps = torch.tensor([timestep] * STEPS, dtype=torch.float32)
        share = timestep / source.config.get("num_train_timesteps", 1000)  # loops of flow models may look at it
        self.sigmas = torch.tensor([share] * STEPS + [0.0])

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Any = None,
        timesteps: Any = None,
        mu: float | None = None,
    ) -> None:
        """Take whatever pipelines pass. The timestep is ours."""
        self.timesteps, self.sigmas = self.timesteps.to(device), self.sigmas.to(device)

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Do nothing, because there is one level only."""

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """Give the loop our latents, as often as it repeats its own for guidance."""
        self.handed = True
        return repeated(self.latents, sample)

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """Give the loop our latents, whatever image it begins with."""
        super().add_noise(original_samples, noise, timesteps)
        return repeated(self.latents, original_samples)

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *_: Any, **__: Any) -> Stepped:
        """End the loop if the network was called with our latents, and else hand them over for the next step."""
        if self.handed or torch.equal(sample[: len(self.latents)], self.latents.to(sample.dtype)):
            raise Reached(sample, model_output)
        self.handed = True
        return Stepped(repeated(self.latents, sample))


class Ending(OneCall):
    """Lets the loop come to its end with our latents, for what the pipeline does with them afterwards."""

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *_: Any, **__: Any) -> Stepped:
        """Hand our latents over."""
        return Stepped(repeated(self.latents, sample))


class Given(OneCall):
    """Ends the loop at its first step, to see whether it begins with the latents that it is given."""

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """Return the loop's own latents."""
        return sample

    step = Stand.step


class Whole(Stand):
    """Passes everything on to a scheduler, and ends the loop after its last step, with the first and last latents."""

    first: torch.Tensor | None = None

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """Return the scheduler's own."""
        noisy: torch.Tensor = self.source.add_noise(original_samples, noise, timesteps)
        return noisy

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *_: Any, **__: Any) -> Stepped:
        """Step as the scheduler does."""
        self.first = sample if self.first is None else self.first
        stepped = self.source.step(model_output, timestep, sample, return_dict=False)[0]
        if self.source.step_index == self.source.num_inference_steps:
            raise Reached(self.first, stepped)
        return Stepped(stepped)


def repeated(latents: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Repeat (B, *shape) latents to as many rows as ``like`` has, which guidance makes a multiple of B."""
    return latents.repeat(len(like) // len(latents), *[1] * (latents.ndim - 1)).to(like)
