"""A torch function as a denoiser, with its own device and a limit on the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch

from art_gym.common.messages import short
from art_gym.denoisers.base import SIGMA_MAX, SIGMA_MIN, Array
from art_gym.denoisers.checks import check_denoiser
from art_gym.denoisers.memory import GIB, rows_within
from art_gym.denoisers.threads import survive_forks

Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class TorchDenoiser:
    """A torch ``function(x, sigma)`` that you can call with numpy arrays and with tensors.

    The function gets float32 tensors, because in half precision x − σ ε̂ loses the data at large σ. A network in half
    precision must cast its own input, as the adapters do.

    Args:
        function: maps x (B, *shape) and sigma (B,) to the denoised estimate (B, *shape).
        shape: shape of one latent.
        sigma_min, sigma_max: the noise range that the model was trained on.
        data_std: standard deviation of the data.
        max_batch: most latents in one call. Larger batches are split. It is halved if CUDA runs out of memory.
        max_memory: GiB that the tensors of one call may take, without weights. The first use measures this and reduces
            the number of latents per call if needed.
        device: where the function runs. Outputs have the device and dtype of the inputs.
        autocast: let torch choose lower precisions.
        fingerprint: names the function and its weights. With it, precise endpoints are cached on disk.
        flow: whether the model is a flow model. Samplers of flow models take s = σ/(1 + σ).
        decoder: maps (B, *shape) clean latents to (B, *image shape) images, for errors in image space.
        own_levels: maps K to the (K+1,) levels that the model's own scheduler takes, by the scheduler's name.

    Raises:
        ValueError: for an invalid noise range, shape, limit or device, an output of another shape than the input's, or
            one latent that takes more than ``max_memory``.
    """

    def __init__(
        self,
        function: Function,
        shape: tuple[int, ...],
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
        data_std: float = 0.5,
        max_batch: int = 1024,
        max_memory: float | None = None,
        device: str | torch.device = "cpu",
        autocast: bool = False,
        fingerprint: str | None = None,
        decoder: Callable[[torch.Tensor], torch.Tensor] | None = None,
        flow: bool = False,
        own_levels: Callable[[int], dict[str, np.ndarray]] | None = None,
    ) -> None:
        if not isinstance(max_batch, int | np.integer) or max_batch < 1:
            raise ValueError(f"max_batch must be a whole number of at least 1, got {short(max_batch)}")
        if max_memory is not None and not (isinstance(max_memory, int | float | np.number) and max_memory > 0):
            raise ValueError(f"max_memory must be a positive number of GiB, got {short(max_memory)}")
        self.function = function
        self.shape = tuple(shape) if isinstance(shape, Iterable) else shape  # else refused below
        self.sigma_min, self.sigma_max, self.data_std = float(sigma_min), float(sigma_max), float(data_std)
        self.max_batch = {"network": max_batch, "decoder": max_batch}  # what fits one need not fit the other
        self._limits = {} if max_memory is None else dict.fromkeys(self.max_batch, max_memory * GIB)  # not yet measured
        self.device, self.autocast = usable_device(device), autocast
        self.fingerprint, self.flow = fingerprint, flow
        if own_levels is not None:
            self.own_levels = own_levels
        self.decode = None if decoder is None else partial(self._decode, decoder)
        check_denoiser(self)
        survive_forks()

    def __call__(self, x: Array, sigma: Array) -> Array:
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"expected latents of shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")
        if isinstance(x, torch.Tensor):
            return self._batches("network", self._one, x, torch.as_tensor(sigma)).to(x)
        with torch.no_grad():  # torch warns about read-only arrays, such as one level broadcast to a batch
            latents, levels = (torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in (x, sigma))
            return self._batches("network", self._one, latents, levels).to(latents).numpy()

    def _decode(self, decoder: Callable[[torch.Tensor], torch.Tensor], x: np.ndarray) -> np.ndarray:
        latents = torch.from_numpy(np.require(x, requirements=["C", "W"]))
        with torch.no_grad(), self._precision():
            return self._batches(
                "decoder", lambda x: decoder(x.to(self.device, torch.float32)).float().cpu(), latents
            ).numpy()

    def _batches(self, part: str, function: Callable[..., torch.Tensor], *arrays: torch.Tensor) -> torch.Tensor:
        """Apply a function to at most ``max_batch`` rows at a time, fewer if memory is short."""
        if part in self._limits and len(arrays[0]):
            with torch.no_grad():
                self.max_batch[part] = rows_within(self._limits[part], self.max_batch[part], function, *arrays)
            del self._limits[part]
        count, done = len(arrays[0]), 0
        parts: list[torch.Tensor] = []
        while done < count or not parts:
            try:
                parts.append(function(*(array[done : done + self.max_batch[part]] for array in arrays)))
            except torch.cuda.OutOfMemoryError as error:
                tried = min(self.max_batch[part], count - done)
                if tried <= 1 or arrays[0].requires_grad:  # for gradients the earlier parts stay in memory too
                    raise ValueError(
                        f"{self.device} has too little memory for latents of shape {self.shape}, "
                        f"{count if arrays[0].requires_grad else 1} at a time ({first_line(error)}): use fewer, a "
                        f"smaller dtype or another device"
                    ) from error
                self.max_batch[part] = tried // 2
            else:
                done += self.max_batch[part]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _one(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        with self._precision():
            return of_shape(x, self.function(x.to(self.device, torch.float32), sigma.to(self.device, torch.float32)))

    def _precision(self) -> torch.autocast | nullcontext[None]:
        kind = self.device.type
        if self.autocast:
            return torch.autocast(kind)
        # The caller's autocast must not apply here.
        ambient = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        return torch.autocast(kind, enabled=False) if ambient else nullcontext()


def of_shape(x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Return a model's output. Raises a ValueError if it is not a tensor of the input's shape."""
    if not isinstance(output, torch.Tensor):
        remedy = "take its .sample" if hasattr(output, "sample") else "return that tensor"
        raise ValueError(
            f"the model's output must be a tensor of shape {tuple(x.shape)}, got a {type(output).__name__}: {remedy}"
        )
    if output.shape != x.shape:
        raise ValueError(
            f"the model's output has shape {tuple(output.shape)}, its input {tuple(x.shape)}: they must be the same "
            f"(does it predict a variance as well? take the first half of the channels, by call= in Python)"
        )
    return output


def usable_device(device: str | torch.device) -> torch.device:
    """Return the torch device of that name. Raises a ValueError if it does not exist or does not work here."""
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:  # an unknown name; a build without CUDA; no such card
        raise ValueError(
            f"cannot use the device {short(str(device))} ({first_line(error)}): choose cpu, or cuda or mps where torch "
            f"finds one"
        ) from None
    return found


def first_line(error: Exception) -> str:
    """Return the first line of another library's error message."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def from_callable(function: Function, shape: tuple[int, ...], **kwargs: object) -> TorchDenoiser:
    """Return a denoiser from a torch function D(x, σ). For the arguments see `TorchDenoiser`."""
    return TorchDenoiser(function, shape, **kwargs)  # type: ignore[arg-type]
