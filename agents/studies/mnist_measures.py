"""The measures of the study on MNIST, with values for intervals by the jackknife."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from art_gym.measures.errors import endpoint_error
from art_gym.measures.frechet import frechet_distance
from art_gym.samplers.plans import Document, draw
from art_gym.tasks.images import split_mnist
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.target import BANK, Target

from .network_measures import GROUPS
from .study import Record

TASK = "mnist"


def measured(solver: str, plan: Document, noises: int, with_endpoints: int) -> Record:
    """Fréchet distance and mean endpoint error, and (GROUPS,) values of each without one group of the noises."""
    target = Target.of(TASK, solver)
    start = held_out(noises)
    samples = draw(target.denoiser, plan, start, target.solver)
    endpoints = target.noises("heldout", with_endpoints)[1]
    errors = endpoint_error(samples[:with_endpoints], endpoints)
    return {**_frechet(_features(samples)), "error": float(errors.mean()), "error_left_out": _means_left_out(errors)}


def of_data(noises: int) -> Record:
    """The Fréchet distance of held-out digits to those that all samples are compared with: its bias and noise."""
    return _frechet(_features(split_mnist(held_out=True)[0][:noises]))


def of_endpoints(count: int) -> Record:
    """The Fréchet distance of the precise endpoints."""
    return _frechet(_features(Target.of(TASK).noises("heldout", count)[1]))


def held_out(count: int) -> np.ndarray:
    """The first (count, 1, 28, 28) held-out noises at σ_max, without their endpoints."""
    bank = get_bank(Target.of(TASK).denoiser, "heldout", BANK)
    chunks = [bank.noises(chunk) for chunk in range(-(-count // bank.chunk))]
    noises: np.ndarray = np.concatenate(chunks)[:count]
    return noises


def _frechet(ours: np.ndarray) -> Record:
    theirs = _data_features()
    parts = (np.delete(ours, slice(group, None, GROUPS), axis=0) for group in range(GROUPS))
    return {
        "frechet": frechet_distance(ours, theirs),
        "frechet_left_out": [frechet_distance(part, theirs) for part in parts],
    }


def _means_left_out(values: np.ndarray) -> list[float]:
    return [float(np.delete(values, slice(group, None, GROUPS)).mean()) for group in range(GROUPS)]


@lru_cache(maxsize=1)
def _data_features() -> np.ndarray:
    """Features of all images that the network was trained on."""
    return _features(split_mnist(held_out=False)[0])


def _features(images: np.ndarray) -> np.ndarray:
    denoiser: Any = Target.of(TASK).denoiser
    features: np.ndarray = denoiser.features(images)
    return features
