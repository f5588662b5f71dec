"""What the instant policy is trained on: random models with noises, precise endpoints and probes, as torch batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.denoisers.diagonal import DiagonalMixture
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.instant import STEPS, profiles
from art_gym.schedules.probe import LEVELS as FULL_LEVELS
from art_gym.schedules.probe import NOISES as FULL_NOISES
from art_gym.schedules.probe import Probe, probe
from art_gym.search.instant import LEVELS, NOISES
from art_gym.search.least_squares import TINY, working_precision
from art_gym.solvers.loop import integrate

from .instant_models import SharedMixture

LATENTS = 96, 64  # for each model with few dimensions, and with many
REFERENCE = 64  # RK4 steps to the precise endpoints
PROBES = (NOISES, LEVELS), (NOISES, LEVELS), (FULL_NOISES, FULL_LEVELS)  # of each training model
MISJUDGED = 0.5  # log of the factor by which the told deviation of the data may be wrong, as it often is for a network
ROWS = {6: 32, 16: 20, 48: 12, 96: 8, 400: 6}  # latents of a model in a batch, by its dimension at most


@dataclass(frozen=True, eq=False)
class Example:
    """A model, some of its noises with their precise endpoints, and its probe."""

    denoiser: Denoiser
    start: np.ndarray  # (B, d)
    endpoints: np.ndarray  # (B, d)
    probe: Probe

    @classmethod
    def of(cls, seed: int, denoiser: Denoiser) -> Example:
        """The example of a random model. The probe is told a wrong deviation of its data."""
        count = LATENTS[0] if denoiser.shape[0] < TINY else LATENTS[1]
        rng = np.random.default_rng([seed, 7])
        return cls(denoiser, *noises_of(denoiser, rng, count), misjudged(denoiser, rng, seed, *PROBES[0]))


def noises_of(denoiser: Denoiser, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(B, d) noises at σ_max, and their precise endpoints."""
    noise = rng.standard_normal((count, *denoiser.shape))
    start = (noise * denoiser.sigma_max).astype(working_precision(noise))
    return start, integrate(denoiser, reference_grid(denoiser, REFERENCE), start, "rk4")


def misjudged(denoiser: Denoiser, rng: np.random.Generator, seed: int, noises: int, levels: int) -> Probe:
    """A probe by someone who does not quite know the data's standard deviation."""
    guessed = Counted(denoiser)
    guessed.data_std *= float(np.exp(rng.uniform(-MISJUDGED, MISJUDGED)))
    return probe(guessed, noises, levels, seed)


class Seen(NamedTuple):
    """What the networks see of R models, as `art_gym.schedules.instant.inputs` takes it."""

    known: np.ndarray  # (R, C, J)
    ends: np.ndarray  # (R, 2)
    logs: np.ndarray  # (R, K) of the closed form's levels, relative to the told deviation

    @classmethod
    def of(cls, probes: Sequence[Probe], num_steps: int) -> Seen:
        """Those of some probes."""
        stds = np.array([found.data_std for found in probes])[:, None]
        ends = np.array([(found.sigma_max, found.sigma_min) for found in probes])
        forms = np.array([found.closed_form(num_steps)[:-1] for found in probes])
        return cls(np.stack([profiles(found) for found in probes]), np.log(ends / stds), np.log(forms / stds))


class Batch(NamedTuple):
    """R models of similar size, padded, with N of their noises each. All is in units of their data."""

    means: torch.Tensor  # (R, M, d)
    variances: torch.Tensor  # (R, M, d), or (R, 1, d) if the modes share them
    log_weights: torch.Tensor  # (R, M)
    start: torch.Tensor  # (R, N, d)
    endpoints: torch.Tensor  # (R, N, d)
    size: torch.Tensor  # (R,) the dimension
    sigma_min: torch.Tensor  # (R,)
    sigma_max: torch.Tensor  # (R,)

    def picked(self, rows: torch.Tensor, columns: torch.Tensor) -> Batch:
        """Some of the models, with some of their noises."""
        some = Batch(*(part[rows] for part in self))
        return some._replace(start=some.start[:, columns], endpoints=some.endpoints[:, columns])

    def denoise(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """(R, N, d) D of latents, with (R,) levels."""
        noise = (sigma**2)[:, None, None]
        inverse = 1 / (self.variances + noise)  # (R, M or 1, d)
        # Σ_j (x_j − c_mj)² / v_mj, expanded. Double precision leaves digits enough.
        logits = (x * inverse) @ self.means.mT if self.variances.shape[1] == 1 else x @ (self.means * inverse).mT
        square = (self.means**2 * inverse).sum(dim=2) + torch.log1p(self.variances / noise).sum(dim=2)
        logits = logits + (self.log_weights - square / 2)[:, None] - x**2 @ inverse.mT / 2
        share = torch.softmax(logits, dim=2)  # (R, N, M)
        if self.variances.shape[1] == 1:
            return inverse * (self.variances * x + noise * (share @ self.means))
        return x * (share @ (self.variances * inverse)) + noise * (share @ (self.means * inverse))


class Group(NamedTuple):
    """A batch of all training models of one kind and size, and what is seen of them by each probe and K."""

    batch: Batch
    noises: int  # how many of each model to take at once
    seen: dict[int, list[Seen]]  # by K, one for each probe

    @classmethod
    def of(cls, examples: Sequence[Example], noises: int) -> Group:
        """Pad and stack examples whose modes either all share their variances, or all do not."""
        probes = [[example.probe for example in examples]]
        for number, size in enumerate(PROBES[1:]):
            rng = np.random.default_rng([number, 11])
            probes.append([misjudged(example.denoiser, rng, int(rng.integers(2**31)), *size) for example in examples])
        seen = {k: [Seen.of(each, k) for each in probes] for k in range(STEPS[0], STEPS[1] + 1)}
        return cls(stacked(examples), noises, seen)


def grouped(examples: Iterable[Example]) -> list[Group]:
    """Groups of models of the same kind and similar size."""
    by_kind: dict[tuple[bool, int], list[Example]] = {}
    for example in examples:
        size = next(most for most in ROWS if example.denoiser.shape[0] <= most)
        by_kind.setdefault((isinstance(example.denoiser, SharedMixture), size), []).append(example)
    return [Group.of(by_kind[kind], ROWS[kind[1]]) for kind in sorted(by_kind)]


def stacked(examples: Sequence[Example]) -> Batch:
    """All models of some examples, with as many noises as each of them has."""
    models = [example.denoiser for example in examples]
    assert all(isinstance(model, DiagonalMixture | SharedMixture) for model in models)
    count, modes = len(models), max(len(model.weights) for model in models)  # type: ignore[attr-defined]
    size, noises = max(model.shape[0] for model in models), min(len(example.start) for example in examples)
    shared = isinstance(models[0], SharedMixture)
    means, log_weights = np.zeros((count, modes, size)), np.full((count, modes), -np.inf)
    variances = np.full((count, 1 if shared else modes, size), 1e-12)  # D is 0 in the padding
    start, endpoints = np.zeros((count, noises, size)), np.zeros((count, noises, size))
    for r, (model, example) in enumerate(zip(models, examples, strict=True)):
        std, own, width = model.data_std, len(model.weights), model.shape[0]  # type: ignore[attr-defined]
        means[r, :own, :width] = model.means / std  # type: ignore[attr-defined]
        variances[r, : variances.shape[1] if shared else own, :width] = model.variances / std**2  # type: ignore[attr-defined]
        log_weights[r, :own] = np.log(model.weights)  # type: ignore[attr-defined]
        start[r, :, :width], endpoints[r, :, :width] = example.start[:noises] / std, example.endpoints[:noises] / std
    dimensions = np.array([float(model.shape[0]) for model in models])
    levels = np.array([(model.sigma_min / model.data_std, model.sigma_max / model.data_std) for model in models])
    arrays = means, variances, log_weights, start, endpoints, dimensions, levels[:, 0], levels[:, 1]
    return Batch(*map(torch.from_numpy, arrays))
