"""Schedulers that stand in for a pipeline's own, to have one call of its network, or a whole run, made by its loop.

This module does not import diffusers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import torch

STEPS = 2  # that a loop is told of for one call; it seldom comes to the second

Calls = Generator[torch.Tensor, tuple[torch.Tensor, torch.Tensor], Any]
"""Yields (B, *shape) latents for the network, in its scaling. Takes those that it was called with, which the loop may
have changed, and (B, *shape) what it predicted."""


class Reached(Exception):
    """Ends a pipeline's loop where it has what we want.

    Attributes:
        sample: latents that the loop gave to the step.
        output: what the network predicted, after guidance, or the result of a whole run.
        late: whether the loop has taken our latents only after a first step.
    """

    def __init__(self, sample: torch.Tensor, output: Any, late: bool = False) -> None:
        super().__init__("the loop was ended")
        self.sample, self.output, self.late = sample, output, late


class Raised(Exception):
    """Ends a pipeline's loop where our own code has raised an error, its cause."""


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
        timesteps: of the loop's steps.
        latents: (B, *shape) in the scaling of the network.
    """

    order = 1
    init_noise_sigma = 1.0
    step_index = begin_index = None

    def __init__(self, source: Any, timesteps: Sequence[float], latents: torch.Tensor) -> None:
        super().__init__(source)
        self.latents, self.handed, self.late = latents, False, False
        self.num_inference_steps = len(timesteps)
        self.timesteps = torch.tensor(timesteps, dtype=torch.float32)
        shares = self.timesteps / source.config.get("num_train_timesteps", 1000)  # loops of flow models may look at it
        self.sigmas = torch.cat([shares, torch.zeros(1)])

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Any = None,
        timesteps: Any = None,
        mu: float | None = None,
    ) -> None:
        """Take whatever pipelines pass. The timesteps are ours."""
        self.timesteps, self.sigmas = self.timesteps.to(device), self.sigmas.to(device)

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Do nothing, because the loop makes all of our steps."""

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
            raise Reached(sample, model_output, self.late)
        self.handed = self.late = True
        return Stepped(repeated(self.latents, sample))


class Run(OneCall):
    """Has the network called in each step of a whole run, with latents that follow from what it predicted before.

    Args:
        source: the pipeline's scheduler.
        timesteps: of the K calls.
        calls: K calls. Its result is that of the run.
        late: whether the loop takes our latents only after a first step, which is one more then.
        noised: maps (B, *shape) clean latents and the number of a call to latents at its level, in the scaling of the
            network. Loops that put an image back between steps ask for them.
    """

    def __init__(
        self,
        source: Any,
        timesteps: Sequence[float],
        calls: Calls,
        late: bool,
        noised: Callable[[torch.Tensor, int], torch.Tensor],
    ) -> None:
        super().__init__(source, [*timesteps[:late], *timesteps], next(calls))
        self.calls, self.late, self.noised, self.taken = calls, late, noised, 0

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """Give the loop our first latents. Afterwards it has them from the steps."""
        return sample if self.taken else super().scale_model_input(sample)

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """Give the loop our first latents, and between the steps an image with our noise."""
        if not self.taken:
            return super().add_noise(original_samples, noise, timesteps)
        return self.noised(original_samples, self.taken).to(original_samples)

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *_: Any, **__: Any) -> Stepped:
        """Hand over the latents for the next call, or end the loop with the result."""
        if self.late and not self.handed:
            self.handed = True
            return Stepped(repeated(self.latents, sample))
        rows = slice(len(self.latents)), slice(self.latents.shape[1])  # no repetitions, no predicted variance
        changed = self.taken and not torch.equal(sample[rows], self.latents.to(sample))
        used = sample[rows].to(self.latents) if changed else self.latents
        self.taken += 1
        try:
            self.latents = self.calls.send((used, model_output[rows].to(self.latents)))
        except StopIteration as end:
            raise Reached(sample, end.value) from None
        except Exception as error:
            raise Raised from error
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
