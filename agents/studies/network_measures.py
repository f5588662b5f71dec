"""The measures of a schedule on a shipped network."""

from __future__ import annotations

import numpy as np

from art_gym.evaluation.heldout import evaluate_plan
from art_gym.measures.distances import energy_distance
from art_gym.measures.frechet import frechet_distance, precision_recall
from art_gym.solvers.loop import integrate
from art_gym.tasks.registry import resolve
from art_gym.tasks.target import Target

from .network_grids import Levels
from .study import Record, bank_noises

NOISES = {"digits_net": 2048, "photos_net": 256}  # held out

GROUPS = 16  # of the jackknife


def error_of(task: str, solver: str, levels: Levels) -> float:
    """The mean endpoint error on held-out noises."""
    return evaluate_plan(Target.of(task, solver), levels, NOISES.get(task, 1024), distances=False).error


def measured(task: str, solver: str, levels: np.ndarray) -> Record:
    """All measures on held-out noises, with the levels."""
    found = evaluate_plan(Target.of(task, solver), levels, NOISES[task])
    return {
        "error": found.error,
        "half_interval": found.error_interval,
        "frechet": found.frechet,
        "energy": found.energy,
        "precision": found.precision,
        "recall": found.recall,
        "sigmas": levels.tolist(),
    }


def frechet_left_out(task: str, solver: str, levels: list[float]) -> Record:
    """Fréchet distances of a grid's samples, each with one group of the held-out noises left out."""
    start, _ = bank_noises(task, "heldout", NOISES[task])
    ours = _features(task, integrate(resolve(task), levels, start, solver))
    theirs = _features(task, _data(task, 17))
    parts = (np.delete(ours, slice(group, None, GROUPS), axis=0) for group in range(GROUPS))
    return {"frechet": [frechet_distance(part, theirs) for part in parts]}


def jackknife(left_out: np.ndarray) -> float:
    """Half the 95 % interval of a statistic, from its (GROUPS,) values without one group each (Efron & Stein 1981)."""
    return 1.96 * float(np.sqrt((GROUPS - 1) * np.var(left_out)))


def of_endpoints(task: str) -> Record:
    """Distances of the precise endpoints to data, with the same draws of the data as for samples."""
    endpoints = bank_noises(task, "heldout", NOISES[task])[1]
    data = _data(task, 17)
    ours, theirs = _features(task, endpoints), _features(task, data)
    precision, recall = precision_recall(ours, theirs)
    return {
        "frechet": frechet_distance(ours, theirs),
        "energy": _energy(endpoints, data),
        "precision": precision,
        "recall": recall,
    }


def of_data_itself(task: str) -> Record:
    """Distances between independent draws of the data, each as large as the set of held-out noises."""
    draws = [_data(task, [19, i]) for i in range(12)]
    pairs = list(zip(draws[::2], draws[1::2], strict=True))
    return {
        "frechet": [frechet_distance(_features(task, a), _features(task, b)) for a, b in pairs],
        "energy": [_energy(a, b) for a, b in pairs],
    }


def _energy(first: np.ndarray, second: np.ndarray) -> float:
    return energy_distance(first.reshape(len(first), -1), second.reshape(len(second), -1))


def _data(task: str, seed: int | list[int]) -> np.ndarray:
    data: np.ndarray = resolve(task).sample_data(NOISES[task], np.random.default_rng(seed))  # type: ignore[attr-defined]
    return data


def _features(task: str, images: np.ndarray) -> np.ndarray:
    features: np.ndarray = resolve(task).features(images)  # type: ignore[attr-defined]
    return features
