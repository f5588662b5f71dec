"""The measures of a sampler, and the intervals of differences between two of them on the same noises."""

from __future__ import annotations

from typing import Any

import numpy as np

from art_gym.denoisers.base import visible
from art_gym.evaluation.edm_curve import EdmCurve
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.measures.distances import energy_distance, mean_distance, random_directions, sliced_wasserstein
from art_gym.measures.errors import endpoint_error
from art_gym.measures.frechet import frechet_distance
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.plans import Document, Plan, document, draw
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.schedule import Schedule
from art_gym.tasks.target import Target

from .network_measures import GROUPS, jackknife
from .study import Record

MEASURES = {"median": "median error", "frechet": "Fréchet", "energy": "energy", "sliced": "sliced Wasserstein"}


def stored(plan: Document) -> Record:
    """The numbers of a plan, for a record."""
    if isinstance(plan, Schedule):
        return {"sigmas": list(plan.sigmas)}
    return {"sigmas": list(plan.sigmas), "told": list(plan.told), "weights": [list(row) for row in plan.weights]}


def restored(record: Record) -> Document:
    """The plan of a record."""
    if "told" not in record:
        return Schedule(tuple(record["sigmas"]), record["method"])
    return Sampler(tuple(record["sigmas"]), tuple(record["told"]), tuple(map(tuple, record["weights"])), "study")


def as_document(plan: Any) -> Document:
    """A plan as a schedule or a sampler, from arrays too."""
    if isinstance(plan, Schedule | Sampler):
        return plan
    return document(plan if isinstance(plan, Coefficients) else np.asarray(plan), "study")


def measured(target: Target, plan: Document, count: int) -> Record:
    """All measures on the first held-out noises, and how many steps EDM's grid needs for the same error."""
    found = evaluate_plan(target, plan, count)
    return {
        "error": found.error,
        "half_interval": found.error_interval,
        "median": found.median,
        "frechet": found.frechet,
        "energy": found.energy,
        "sliced": found.sliced,
        "edm_steps": steps if np.isfinite(steps := EdmCurve(target, count).steps_for(found.error)) else None,
        **stored(plan),
    }


def error_on(target: Target, plan: Plan, noises: tuple[np.ndarray, np.ndarray]) -> float:
    """The mean endpoint error on (B, *shape) noises at σ_max with these precise endpoints."""
    start, endpoints = noises
    pair = draw(target.denoiser, plan, start, target.solver), endpoints
    return float(endpoint_error(*(visible(x, target.denoiser) for x in pair)).mean())


def left_out(target: Target, plan: Document, count: int) -> Record:
    """The measures with all noises, and (GROUPS,) values of each without one group of them."""
    start, endpoints = target.noises("heldout", count)
    return _left_out(target, draw(target.denoiser, plan, start, target.solver), endpoints)


def of_endpoints(target: Target, count: int) -> Record:
    """The distances of the precise endpoints to data."""
    endpoints = target.noises("heldout", count)[1]
    return statistics(target, endpoints, endpoints, np.arange(count))


def worse(ours: Record, grids: Record) -> dict[str, tuple[float, float]]:
    """The measures in which the first is worse by more than half the 95 % interval: by how much, and that half."""
    found = {}
    for name in MEASURES:
        if ours[name] is None:
            continue
        half = jackknife(np.subtract(ours["left_out"][name], grids["left_out"][name]))
        difference = ours[name] - grids[name]
        if difference > half:
            found[name] = difference, half
    return found


def statistics(target: Target, samples: np.ndarray, endpoints: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """`MEASURES` of some rows of the samples. Data draws and directions are those of `evaluate_plan`."""
    denoiser, count = target.denoiser, len(samples)
    samples, endpoints = visible(samples, denoiser), visible(endpoints, denoiser)
    data = denoiser.sample_data(count, np.random.default_rng(17)).reshape(samples.shape)  # type: ignore[attr-defined]
    features = getattr(denoiser, "features", None)
    ours, theirs = samples.reshape(count, -1)[rows], data.reshape(count, -1)
    directions = random_directions(ours.shape[1], 1 if ours.shape[1] == 1 else 256, np.random.default_rng(18))
    return {
        "median": float(np.median(endpoint_error(samples, endpoints)[rows])),
        "frechet": None if features is None else frechet_distance(features(samples)[rows], features(data)),
        "energy": energy_distance(ours, theirs, mean_distance(theirs)),
        "sliced": float(sliced_wasserstein(ours, theirs[rows], directions)),  # of equally large sets only
    }


def _left_out(target: Target, samples: np.ndarray, endpoints: np.ndarray) -> Record:
    every = np.arange(len(samples))
    parts = [np.delete(every, slice(group, None, GROUPS)) for group in range(GROUPS)]
    found = [statistics(target, samples, endpoints, rows) for rows in parts]
    whole = statistics(target, samples, endpoints, every)
    return {**whole, "left_out": {name: [one[name] for one in found] for name in MEASURES if whole[name] is not None}}
