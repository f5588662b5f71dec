"""The sampler's loop in the form that ComfyUI's KSAMPLER calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import comfy.model_sampling
import torch
from tqdm.auto import trange

from .files import Numbers

SAME = 1e-5  # relative difference of levels that are taken for the same: ComfyUI's are float32
RANGE_TOLERANCE = 1e-3  # relative: files may hold six digits, and a model's table is float32


class Scale(NamedTuple):
    """The scale in which ComfyUI samples a model: σ, or s = σ/(1 + σ) for a flow model.

    A flow model's latents are z = (1 − s) x₀ + s ε, so x = (1 + σ) z has the noise level σ. The sampler's loop steps x,
    and takes the steps that it was learned with in either scale.
    """

    flow: bool

    @classmethod
    def of(cls, model_sampling: object) -> Scale:
        """Return the scale of a model. Cosmos Predict2 is a flow model, but ComfyUI samples it in σ."""
        return cls(isinstance(model_sampling, comfy.model_sampling.CONST))

    def level(self, sigma: float) -> float:
        """Return a level σ as the model takes it."""
        return sigma / (1 + sigma) if self.flow else sigma

    def latents(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Return x of the level σ as the model takes it."""
        return x / (1 + sigma) if self.flow else x

    def noisy(self, latents: torch.Tensor, sigma: float) -> torch.Tensor:
        """Return x of the level σ from the model's latents."""
        return (1 + sigma) * latents if self.flow else latents

    def sigmas(self, levels: Sequence[float]) -> torch.Tensor:
        """Return levels σ as ComfyUI's SIGMAS, in float32.

        Raises:
            ValueError: if float32 cannot tell two levels apart, or one is too large for it.
        """
        found = torch.tensor([self.level(sigma) for sigma in levels], dtype=torch.float32)
        if not (found[1:] < found[:-1]).all() or not torch.isfinite(found).all():
            raise ValueError(
                f"ComfyUI's sigmas are float32, and in it the levels must be finite and decrease, got "
                f"{found.tolist()}: learn with levels that are further apart"
            )
        return found


def sampler_function(numbers: Numbers) -> Callable[..., torch.Tensor]:
    """Return the function for ``comfy.samplers.KSAMPLER``, with the signature of k-diffusion's samplers.

    Its sigmas must be the file's levels, or consecutive ones of them, as from a denoise below 1 or from SplitSigmas.
    The first steps then have no memory, and drop the weights on it.
    """
    most = 1 + max(map(len, numbers.weights))  # estimates in a step

    @torch.no_grad()
    def sample_art(
        model: Any,
        x: torch.Tensor,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], object] | None = None,
        disable: bool | None = None,
    ) -> torch.Tensor:
        sampling = model.inner_model.inner_model.model_sampling
        scale = Scale.of(sampling)
        own = _own_steps(numbers, sigmas, scale)
        _check_told(numbers, own, sampling, scale)
        x = scale.noisy(x, numbers.sigmas[own.start])
        memory: list[torch.Tensor] = []  # denoised estimates, the latest first
        for i in trange(len(own), disable=disable):
            level, following, weights = numbers.sigmas[own[i]], numbers.sigmas[own[i] + 1], numbers.weights[own[i]]
            told = numbers.told[own[i]] * level
            s_in = x.new_full((len(x),), scale.level(told))
            memory = [model(scale.latents(x, told), s_in, **(extra_args or {})), *memory][:most]
            if callback is not None:
                seen = {"x": scale.latents(x, level), "i": i, "sigma": sigmas[i], "sigma_hat": s_in[0]}
                callback(seen | {"denoised": memory[0]})
            ratio = following / level
            x = ratio * x + (1 - ratio) * _mixed(memory, weights)
        return scale.latents(x, numbers.sigmas[own.stop])

    return sample_art


def _mixed(memory: list[torch.Tensor], weights: list[float]) -> torch.Tensor:
    """The latest estimate with the weighted differences of those that there are."""
    mixed = memory[0]
    for weight, newer, older in zip(weights, memory, memory[1:], strict=False):
        mixed = mixed + weight * (newer - older)
    return mixed


def _own_steps(numbers: Numbers, sigmas: torch.Tensor, scale: Scale) -> range:
    """The steps between these sigmas."""
    found = _consecutive(numbers, sigmas, scale)
    if found is not None:
        return found
    if _consecutive(numbers, sigmas, Scale(not scale.flow)) is not None:
        raise ValueError(
            f"the sigmas of {numbers.name} are {'σ' if scale.flow else 's = σ/(1 + σ)'}, but this model takes "
            f"{'s = σ/(1 + σ)' if scale.flow else 'σ'}: connect the model to the node ART Sampler"
        )
    raise ValueError(
        f"these sigmas are not consecutive levels of {numbers.name}, which has {len(numbers.told)} steps: connect the "
        f"sigmas of its node ART Sampler, or a part of them"
    )


def _consecutive(numbers: Numbers, sigmas: torch.Tensor, scale: Scale) -> range | None:
    wanted, steps = sigmas.double().cpu(), len(sigmas) - 1
    levels = torch.tensor([scale.level(sigma) for sigma in numbers.sigmas], dtype=torch.float64)
    for first in range(len(levels) - steps):
        if torch.allclose(wanted, levels[first : first + steps + 1], rtol=SAME, atol=0):
            return range(first, first + steps)
    return None


def _check_told(numbers: Numbers, steps: range, sampling: Any, scale: Scale) -> None:
    """Refuse told levels that the model does not know. Flow models know all s."""
    if scale.flow:
        return
    low, high = float(sampling.sigma_min), float(sampling.sigma_max)
    for k in steps:
        told = numbers.told[k] * numbers.sigmas[k]
        if not low * (1 - RANGE_TOLERANCE) <= told <= high * (1 + RANGE_TOLERANCE):
            raise ValueError(
                f"{numbers.name} tells the model the level {told:g}, which is outside its noise range from {low:g} to "
                f"{high:g}: learn a sampler for this model"
            )
