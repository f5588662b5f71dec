"""A pipeline's own loop as a function of latents and timesteps, for one call of its network or a whole run.

This module does not import diffusers.
"""

from __future__ import annotations

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from art_gym.denoisers.model_calls import check_compiled
from art_gym.denoisers.pipeline_arguments import BATCHES, check_arguments, split_conditions
from art_gym.denoisers.pipeline_schedulers import (
    STEPS,
    Calls,
    Ending,
    Given,
    OneCall,
    Raised,
    Reached,
    Run,
    Stand,
    Whole,
)
from art_gym.denoisers.torch_denoiser import first_line

KEPT = 8  # encodings of prompts that are kept
LOOKED = 50  # steps of the pipeline's own scheduler, to see where image-to-image begins


class Loop:
    """A pipeline with its arguments, as a function of the network's latents and timesteps.

    Args:
        pipe: the pipeline. Its scheduler is put back after each call.
        arguments: of a call of the pipeline. Those whose names begin as `EACH` say hold one value for each condition.

    Raises:
        ValueError: for a pipeline without a scheduler or an argument that it does not take.
    """

    def __init__(self, pipe: Any, arguments: Mapping[str, Any]) -> None:
        self.pipe, self.name = pipe, type(pipe).__name__
        if not hasattr(pipe, "scheduler") or not callable(pipe):
            raise ValueError(f"{self.name} has no scheduler to put ours in place of: use from_callable for its network")
        self.takes = inspect.signature(type(pipe).__call__).parameters
        check_arguments(self.name, self.takes, arguments)
        self.source = pipe.scheduler
        self.each, self.same, self.count = split_conditions(arguments)
        self.encoded: OrderedDict[str, Any] = OrderedDict()
        if "generator" in self.takes:
            self.generator = self.same.pop("generator", None) or torch.Generator().manual_seed(0)
            self.state = self.generator.get_state()
        self.takes_latents = "latents" in self.takes
        self.late = False  # whether it takes our latents only after a first step
        self.strength = float(self.same.get("strength", 1.0))

    def __call__(self, latents: torch.Tensor, timestep: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return (B, *shape) predictions, after guidance.

        Args:
            latents: (B, *shape) in the scaling of the network.
            timestep: (B,). Latents of one timestep share a run of the loop.
            condition: (B,) indices of the prompts or classes.
        """
        output = torch.empty_like(latents)
        for time in torch.unique(timestep).tolist():
            rows = torch.nonzero(timestep == time)[:, 0]
            rows = rows[torch.argsort(condition[rows], stable=True)]  # encodings of prompts are kept by their order
            stand = OneCall(self.source, [time] * STEPS, latents[rows])
            found = self._reached(stand, condition[rows].tolist(), latents[rows]).output
            output[rows] = found[: len(rows), : latents.shape[1]].to(output)  # no repetitions, no predicted variance
        return output

    def look(self) -> tuple[torch.Tensor, Stand]:
        """Return (1, *shape) latents that the loop begins with by itself, and what the scheduler in its place saw.

        Raises:
            ValueError: for a loop that fails with these arguments, or that calls no scheduler.
        """
        stand = Stand(self.source)
        latents = self._reached(stand, [0], None, LOOKED).sample[:1]
        if "strength" in self.takes:
            self.same["strength"] = 1.0  # from now on the loop has all steps
        # Given latents would take the place of an image.
        self.takes_latents = "latents" in self.takes and stand.image is None
        if self.takes_latents:
            given = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)).to(latents)
            try:
                self.takes_latents = torch.equal(
                    self._reached(Given(self.source, [1.0] * STEPS, given), [0], given).sample, given
                )
            except ValueError:  # the pipeline wants them in another form
                self.takes_latents = False
        # Others than those that the loop would draw by itself.
        self.late = self._reached(OneCall(self.source, [1.0] * STEPS, latents + 1), [0], latents + 1).late
        return latents, stand

    def run(
        self,
        calls: Calls,
        timesteps: Sequence[float],
        condition: list[int],
        noised: Callable[[torch.Tensor, int], torch.Tensor],
    ) -> Any:
        """Make a whole run, as `Run` says. Returns the result of the calls.

        Args:
            calls, timesteps, noised: as there.
            condition: B indices of the prompts or classes.
        """
        stand = Run(self.source, timesteps, calls, self.late, noised)
        return self._reached(stand, condition, stand.latents, stand.num_inference_steps).output

    def set_own(self, num_steps: int) -> None:
        """Have the pipeline set its own scheduler to as many steps as leave this number to take.

        Raises:
            ValueError: for a scheduler that cannot take so many.
        """
        self._reached(Stand(self.source), [0], None, math.ceil(num_steps / self.strength))

    def guidance(self) -> float | None:
        """Return the scale of classifier-free guidance, by default the pipeline's. None if it takes none."""
        default = getattr(self.takes.get("guidance_scale"), "default", None)
        scale = self.same.get("guidance_scale", default)
        return float(scale) if isinstance(scale, int | float) else None

    @contextmanager
    def guided(self, scale: float) -> Iterator[None]:
        """Guide with another scale within this context."""
        before = dict(self.same)
        self.same["guidance_scale"] = scale
        try:
            yield
        finally:
            self.same = before

    def ended(self, latents: torch.Tensor) -> Any:
        """Return what the pipeline makes of (B, *shape) clean latents, such as images."""
        return self._run(
            Ending(self.source, [1.0] * STEPS, latents), [0] * len(latents), latents, STEPS, output_type="pt"
        )

    def whole(self, scheduler: Any, condition: list[int], noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the pipeline with another scheduler, whose every step it makes.

        Args:
            scheduler: one that counts its steps as those of diffusers do.
            condition: B indices of the prompts or classes.
            noise: (B, *shape) for pipelines that take latents. Others draw their own.

        Returns:
            (B, *shape) latents at the first step, in the scaling of the network, and after the last.
        """
        reached = self._reached(Whole(scheduler), condition, noise, scheduler.num_inference_steps)
        rows = slice(len(condition))
        return reached.sample[rows], reached.output[rows]

    def _reached(self, stand: Stand, condition: list[int], latents: torch.Tensor | None, steps: int = STEPS) -> Reached:
        try:
            self._run(stand, condition, latents, steps)
        except Reached as reached:
            return reached
        except Raised as raised:
            raise raised.__cause__ or raised from None
        except torch.cuda.OutOfMemoryError:  # TorchDenoiser tries a smaller batch
            raise
        except Exception as error:  # the pipeline's code can raise anything
            check_compiled(error, self.name)
            raise ValueError(
                f"{self.name} fails in its own loop ({first_line(error)}): check its arguments, "
                f"{', '.join({**self.same, **self.each}) or 'of which there are none'}"
            ) from error
        raise ValueError(
            f"{self.name} comes to its end without a step of its scheduler, so it cannot be driven: use from_callable "
            f"for its network"
        )

    def _run(
        self,
        stand: Stand,
        condition: list[int],
        latents: torch.Tensor | None,
        steps: int,
        output_type: str | None = None,
    ) -> Any:
        """Run the pipeline with another scheduler. Returns the first of its results, such as images."""
        arguments = {**self.arguments(condition), "num_inference_steps": steps}
        if latents is not None and self.takes_latents:
            arguments["latents"] = latents
        if output_type is not None and "output_type" in self.takes:
            arguments["output_type"] = output_type
        with self._driven(stand):
            return self.pipe(**arguments)[0]

    def labels(self) -> tuple[str, ...]:
        """Return a label for each condition: its prompt or class, or its number."""
        named = next((self.each[name] for name in ("prompt", "class_labels") if name in self.each), range(self.count))
        return tuple(str(label) for label in named)

    def arguments(self, condition: list[int]) -> dict[str, Any]:
        """Return the arguments of a call for some conditions, one for each image."""
        found: dict[str, Any] = dict(self.same)
        for name, values in self.each.items():
            rows = values[condition] if isinstance(values, torch.Tensor) else [values[i] for i in condition]
            found[name] = rows
        if not self.each:
            found |= {name: len(condition) for name in [name for name in BATCHES if name in self.takes][:1]}
        if "generator" in self.takes:
            self.generator.set_state(self.state)
            found["generator"] = self.generator
        return found

    @contextmanager
    def _driven(self, stand: Stand) -> Iterator[None]:
        """Put a scheduler in the pipeline, without progress bars and with encodings that are kept."""
        pipe, bars = self.pipe, dict(getattr(self.pipe, "_progress_bar_config", {}))
        encode = getattr(pipe, "encode_prompt", None)
        pipe.scheduler = stand
        pipe.set_progress_bar_config(**{**bars, "disable": True})
        if encode is not None:
            pipe.encode_prompt = self._kept(encode)
        try:
            yield
        finally:
            pipe.scheduler = self.source
            pipe.set_progress_bar_config(**bars)
            if encode is not None:
                del pipe.encode_prompt

    def _kept(self, encode: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that encodes prompts as the pipeline does, but the same prompts only once."""

        def encoded(*args: Any, **kwargs: Any) -> Any:
            if any(isinstance(value, torch.Tensor) for value in (*args, *kwargs.values())):
                return encode(*args, **kwargs)
            key = repr((args, kwargs))
            if key not in self.encoded:
                self.encoded[key] = encode(*args, **kwargs)
                if len(self.encoded) > KEPT:
                    self.encoded.popitem(last=False)
            self.encoded.move_to_end(key)
            return self.encoded[key]

        return encoded
