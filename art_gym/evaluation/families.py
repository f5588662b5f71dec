"""The best grid of each model of a family, and the reference that follows from all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import art_gym
from art_gym.common.files import write_text
from art_gym.common.reading import read_json
from art_gym.denoisers.base import models_of, visible
from art_gym.evaluation.heldout import HELDOUT, evaluate_plan
from art_gym.measures.errors import endpoint_error, mean_error
from art_gym.samplers.plans import Plan, draw
from art_gym.schedules.grids.base import edm_grid
from art_gym.search.defect import defect
from art_gym.tasks.families.base import Family
from art_gym.tasks.noise_bank import precise_endpoints
from art_gym.tasks.references import Reference
from art_gym.tasks.target import Target

GRIDS_FILE = Path(__file__).parents[1] / "data" / "family_grids.json"
NOISES, EVALUATIONS = 256, 2e5  # of each model and search
DIGITS = 7

Grids = dict[str, list[float]]  # by "task solver K number"


def family_reference(target: Target, num_steps: int, seed: int = 0) -> Reference:
    """The reference of a family: geometric means over its models of the errors of EDM's grid and of their best grids.

    Searches are stored one by one, so an interrupted one goes on.

    Raises:
        ValueError: for a denoiser that is a single model.
    """
    family = target.denoiser
    if not isinstance(family, Family):
        raise ValueError(f"{target.task} is a single model, not a family: compute its own reference")
    grids = best_grids(target, num_steps, seed)
    return Reference(
        task=target.task,
        solver=target.solver.name,
        num_steps=num_steps,
        edm_error=evaluate_plan(target, edm_grid(num_steps, family), distances=False).error,
        oracle_error=error_of_grids(target, grids),
        oracle_sigmas=(*np.exp(np.log(np.array(grids)[:, :-1]).mean(axis=0)).tolist(), 0.0),
        floor=0.0,  # each model has its own
        train_noises=NOISES,
        heldout_noises=HELDOUT,
        seed=seed,
        method="each model's best grid",
        version=art_gym.__version__,
    )


def error_of_grids(target: Target, grids: Sequence[Plan], count: int = HELDOUT, first: int = 0) -> float:
    """The mean error on held-out noises of a family whose models each have their own (K+1,) levels, or sampler.

    Args:
        target: the family.
        grids: the levels or the sampler of each model, by its number.
        count, first: how many held-out noises, from which row on.
    """
    start, endpoints = (array[first:] for array in target.noises("heldout", first + count))
    models = models_of(start, target.denoiser)
    assert models is not None
    errors = np.zeros(len(start))
    for number in np.unique(models.numbers):
        rows = models.numbers == number
        samples = draw(target.denoiser, grids[number], start[rows], target.solver)
        errors[rows] = endpoint_error(*(visible(x, target.denoiser) for x in (samples, endpoints[rows])))
    return mean_error(errors, models)[0]


def best_grids(target: Target, num_steps: int, seed: int = 0) -> list[list[float]]:
    """The (K+1,) levels of the best grid known for each model of a family, stored or found by Gauss-Newton."""
    family = target.denoiser
    assert isinstance(family, Family)
    known = stored_grids() if GRIDS_FILE.exists() else {}
    keys = [f"{target.task} {target.solver.name} {num_steps} {number}" for number in range(len(family.seeds))]
    missing = [number for number, key in enumerate(keys) if key not in known]
    for number in tqdm(missing, desc=f"models, K = {num_steps}", leave=False, disable=not missing):
        known[keys[number]] = searched_grid(target, number, num_steps, seed)
        write_text(GRIDS_FILE, json.dumps(known, separators=(",", ":")).replace(',"', ',\n"') + "\n")
    return [known[key] for key in keys]


def searched_grid(target: Target, number: int, num_steps: int, seed: int = 0) -> list[float]:
    """The (K+1,) levels that Gauss-Newton finds for one model of a family."""
    family, solver = target.denoiser, target.solver.name
    assert isinstance(family, Family)
    model = family.model(number)
    (drawn,) = family.solvers(np.array([number]))
    noise = np.random.default_rng([seed, number, 29]).standard_normal((NOISES, *model.shape))
    start, kind = (noise * model.sigma_max).astype(np.float32), drawn if solver == "drawn" else solver
    levels = defect(model, num_steps, kind, start, precise_endpoints(model, start), seed, EVALUATIONS)
    return [float(f"{level:.{DIGITS}g}") for level in levels]


def stored_grids(file: Path = GRIDS_FILE) -> Grids:
    """The levels of the best grids known. Raises a ValueError for a file that holds none."""
    known = read_json(file)
    if not isinstance(known, dict) or not all(isinstance(levels, list) for levels in known.values()):
        raise ValueError(f"{file} holds no grids: name another file")
    return known
