"""What of a sampler may be chosen, and the numbers in which searches choose it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from art_gym.common.messages import short
from art_gym.denoisers.base import Array, Denoiser
from art_gym.samplers.coefficients import Coefficients
from art_gym.schedules.fractions import LIMIT, levels_from_logits, logits_from_levels

MOST_MEMORY = 8


@dataclass(frozen=True)
class Freedom:
    """What of a sampler may be chosen beside its levels.

    Attributes:
        memory: how many estimates a step combines at most. Each step chooses a weight for each earlier one.
        told: whether each step also chooses the level that the model is told.
        shared: choose two numbers for all steps instead: a factor on the weights of DPM-Solver++(2M), and a factor on
            all levels that the model is told. They can be fitted on few noises.

    Raises:
        ValueError: for a memory that is not a whole number from 1 to 8, or two switches that are not True or False.
    """

    memory: int = 3
    told: bool = True
    shared: bool = False

    def __post_init__(self) -> None:
        if type(self.memory) is not int or not 1 <= self.memory <= MOST_MEMORY:
            raise ValueError(f"memory must be a whole number from 1 to {MOST_MEMORY}, got {short(self.memory)}")
        for name in ("told", "shared"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {short(getattr(self, name))}")

    @property
    def name(self) -> str:
        """A short name for tables."""
        if self.shared:
            return "two shared factors"
        parts = [*(["weights"] if self.memory > 1 else []), *(["told levels"] if self.told else [])]
        of = f" of {self.memory} calls" if self.memory > 2 else ""
        return f"{' and '.join(parts) or 'levels'}{of}"

    def places(self, num_steps: int) -> list[tuple[int, int]]:
        """The entries (k, i) of the weights that may be chosen."""
        if self.shared:
            return []
        return places(num_steps, self.memory - 1)

    def size(self, num_steps: int) -> int:
        """How many numbers are chosen, K − 1 for the levels among them."""
        if self.shared:
            return num_steps - 1 + 2
        return num_steps - 1 + self.told * num_steps + len(self.places(num_steps))

    def coefficients(self, numbers: Array, num_steps: int, denoiser: Denoiser) -> Coefficients:
        """Return the sampler of (P,) numbers, or one for each sample of (P, B), of numpy or torch.

        The numbers are the logits of `levels_from_logits`, log c for each step, and the weights. Told levels are kept
        within the denoiser's noise range. Shared factors are log c and the logarithm of the factor on 2M's weights. A
        flow model's first told level cannot be chosen (`first_told_of_flow`).
        """
        xp = array_namespace(numbers)
        levels = levels_from_logits(numbers[: num_steps - 1], denoiser)  # (K+1,) or (K+1, B)
        one, rest = xp.ones_like(levels[:-1]), numbers[num_steps - 1 :]
        if self.shared:
            told = kept_told(xp.exp(rest[0]) * one, levels, denoiser)
            return Coefficients(levels, told, (xp.exp(rest[1]) * weights_2m(levels))[:, None])
        told = _begun(one, denoiser)
        if self.told:
            told, rest = kept_told(xp.exp(rest[:num_steps]), levels, denoiser), rest[num_steps:]
        width = max(self.memory - 1, 1)
        known = {place: rest[at] for at, place in enumerate(self.places(num_steps))}
        zero = 0 * levels[0]
        rows = [xp.stack([known.get((k, i), zero) for i in range(width)]) for k in range(num_steps)]
        return Coefficients(levels, told, xp.stack(rows))  # weights of shape (K, M) or (K, M, B)

    def numbers(self, coefficients: Coefficients, denoiser: Denoiser) -> np.ndarray:
        """Return the (P,) numbers of a sampler. What may not be chosen is lost."""
        sigmas, told, weights = (np.asarray(array) for array in coefficients)
        logits, logs = logits_from_levels(sigmas, denoiser), np.log(told)
        if self.shared:
            theirs, ours = weights_2m(sigmas), weights[:, 0]
            factor = max(float(ours @ theirs / max(theirs @ theirs, 1e-30)), 1e-3)
            return np.append(logits, [logs.mean(), math.log(factor)])
        chosen = [weights[k, i] if i < weights.shape[1] else 0.0 for k, i in self.places(len(told))]
        return np.concatenate([logits, logs if self.told else [], chosen])


def places(num_steps: int, width: int) -> list[tuple[int, int]]:
    """The entries (k, i) of (K, width) weights for which there is a memory."""
    return [(k, i) for k in range(num_steps) for i in range(min(k, width))]


def within_limits(numbers: np.ndarray, num_steps: int) -> np.ndarray:
    """(P,) or (P, B) numbers with their first K − 1, the logits, within the limits of searches."""
    logits = num_steps - 1
    return np.concatenate([np.clip(numbers[:logits], -LIMIT, LIMIT), numbers[logits:]])


def weights_2m(levels: Array) -> Array:
    """Return the (K,) weights of DPM-Solver++(2M), whose first and last step have no memory; also for (K+1, B)."""
    xp = array_namespace(levels)
    logs = xp.log(levels[:-1])
    steps = logs[:-1] - logs[1:]  # h_k, K − 1 of them
    none = 0 * levels[:1]
    if steps.shape[0] < 2:
        return xp.concat([none] * (steps.shape[0] + 1))
    return xp.concat([none, steps[1:] / (2 * steps[:-1]), none])


def kept_told(told: Array, levels: Array, denoiser: Denoiser) -> Array:
    """Factors c that keep c σ within the noise range of the denoiser."""
    xp = array_namespace(told)
    positive = levels[:-1]
    within: Array = xp.minimum(xp.maximum(told, denoiser.sigma_min / positive), denoiser.sigma_max / positive)
    return _begun(within, denoiser)


def _begun(told: Array, denoiser: Denoiser) -> Array:
    """Factors with the first one fixed for a flow model."""
    first = first_told_of_flow(denoiser)
    return told if first is None else array_namespace(told).concat([0 * told[:1] + first, told[1:]])


def first_told_of_flow(denoiser: Denoiser) -> float | None:
    """The factor on a flow model's first told level; None for other models.

    Pipelines of flow models begin with noise ε as it is. The network takes x/(1 + τ), so ε stands for x = σ₀ε only if
    it is told τ = σ₀ − 1. If they begin at an image, the first level is free.
    """
    plain = getattr(denoiser, "flow", False) and not getattr(denoiser, "from_image", False)
    return 1 - 1 / denoiser.sigma_max if plain else None
