"""Compute the references of the scores: find the oracle by search, and measure both ends on held-out noise."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

import art_gym
from art_gym.common.messages import one_line
from art_gym.common.reading import parse_json, read_text
from art_gym.denoisers.base import LARGE, Counted, visible
from art_gym.evaluation.families import family_reference
from art_gym.evaluation.heldout import HELDOUT, evaluate_plan
from art_gym.measures.errors import endpoint_error
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.plans import document, draw
from art_gym.samplers.sampler import Sampler
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import edm_grid
from art_gym.schedules.schedule import as_levels
from art_gym.search.defect import STEPS, defect
from art_gym.search.gauss_newton import GaussNewton
from art_gym.search.least_squares import by_error, working_precision
from art_gym.search.oracle import optimise
from art_gym.search.sampler_oracle import optimise_sampler
from art_gym.tasks.families.base import Family
from art_gym.tasks.references import (
    REFERENCES_FILE,
    Reference,
    find_reference,
    key_of,
    load_references,
    probe_of,
    write_references,
)
from art_gym.tasks.target import Target

TRAIN_NOISES = 4096  # for optimising the oracle
FEW_NOISES = 512  # likewise, for large latents
POLISHING_NOISES = 1024  # for choosing the best of several grids, before polishing them on all noises
POLISHED = 4
SEARCH = "search"  # L-BFGS and Gauss-Newton from many starts (`art_gym.search.oracle.optimise`)
POLISH = "polish"  # Gauss-Newton from grids that other methods found


def compute_reference(target: Target, num_steps: int, seed: int = 0) -> Reference:
    """Optimise the oracle on training noise, and evaluate it and EDM's grid on held-out noise.

    This takes seconds to a few minutes, and longer for networks. A sampler's search begins with the stored best grid,
    or with one that it finds.
    """
    if isinstance(target.denoiser, Family):
        return family_reference(target, num_steps, seed)
    denoiser, noises = target.denoiser, target.noises("train", training_noises(target))
    if target.freedom is None:
        return _reference(target, num_steps, optimise(denoiser, num_steps, target.solver, *noises, seed), seed, SEARCH)
    known = find_reference(replace(target, freedom=None), num_steps)
    grid = defect(denoiser, num_steps, target.solver, *noises, seed) if known is None else np.array(known.oracle_sigmas)
    found = optimise_sampler(denoiser, num_steps, target.freedom, *noises, grid, seed)
    return _reference(target, num_steps, found, seed, SEARCH)


def training_noises(target: Target) -> int:
    """How many noises an oracle is optimised on."""
    return FEW_NOISES if math.prod(target.denoiser.shape) >= LARGE else TRAIN_NOISES


def _reference(target: Target, num_steps: int, oracle: np.ndarray | Coefficients, seed: int, method: str) -> Reference:
    errors = [
        evaluate_plan(target, plan, distances=False).error for plan in (edm_grid(num_steps, target.denoiser), oracle)
    ]
    plan = document(oracle, method)
    sampler = plan if isinstance(plan, Sampler) else None
    return Reference(
        task=target.task,
        solver=target.solver.name,
        num_steps=num_steps,
        edm_error=errors[0],
        oracle_error=errors[1],
        oracle_sigmas=plan.sigmas,
        floor=1e-4 * target.denoiser.data_std,
        train_noises=training_noises(target),
        heldout_noises=HELDOUT,
        seed=seed,
        method=method,
        version=art_gym.__version__,
        probe=probe_of(target.denoiser),
        freedom=None if target.freedom is None else target.freedom.name,
        oracle_told=None if sampler is None else sampler.told,
        oracle_weights=None if sampler is None else sampler.weights,
    )


def _candidates(files: Iterable[Path]) -> dict[tuple[str, str, int], list[tuple[float, ...]]]:
    """The grids in files of JSON lines, by task, solver and K."""
    found: dict[tuple[str, str, int], list[tuple[float, ...]]] = {}
    for file in files:
        try:
            for line in read_text(file).splitlines():
                entry = parse_json(line)
                if "sigmas" in entry:
                    grid = as_levels(entry["sigmas"])
                    key = (entry["task"], entry["solver"], len(grid) - 1)
                    found.setdefault(key, []).append(tuple(grid.tolist()))
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{file} holds no schedules as JSON lines: {one_line(error, 200)}") from None
    return found


def reference_on(target: Target, num_steps: int, count: int = HELDOUT, first: int = 0) -> Reference | None:
    """The stored reference with its errors measured on these rows of the held-out noises; None if none is stored."""
    known = find_reference(target, num_steps)
    if known is None or (count, first) == (HELDOUT, 0):
        return known
    edm, oracle = (
        evaluate_plan(target, plan, count, first, distances=False).error
        for plan in (edm_grid(num_steps, target.denoiser), known.oracle)
    )
    return replace(known, edm_error=edm, oracle_error=oracle, heldout_noises=count)


def better(target: Target, first: Reference, second: Reference) -> Reference:
    """The reference with the lower oracle error on training noise. Held-out noise must choose nothing."""
    start, endpoints = target.noises("train", training_noises(target))

    def training_error(entry: Reference) -> float:
        samples = draw(target.denoiser, entry.oracle, start, target.solver)
        return float(endpoint_error(visible(samples, target.denoiser), visible(endpoints, target.denoiser)).mean())

    return min(first, second, key=training_error)


def polish(target: Target, num_steps: int, grids: Iterable[tuple[float, ...]], seed: int = 0) -> Reference:
    """Compute the oracle without a search, by Gauss-Newton from the best few of the given grids."""
    denoiser, noises = target.denoiser, target.noises("train", training_noises(target))
    start, endpoints = (array.astype(working_precision(noises[0])) for array in noises)
    few, many = (
        GaussNewton(Counted(denoiser), target.solver, start[:count], endpoints[:count])
        for count in (POLISHING_NOISES, len(start))
    )
    logits = [logits_from_levels(np.array(grid), denoiser) for grid in dict.fromkeys(grids)]
    firsts = sorted(logits, key=lambda tried: few.improve(tried, 0).error)[:POLISHED]
    best = min((many.improve(first, STEPS) for first in firsts), key=by_error)
    return _reference(target, num_steps, levels_from_logits(best.numbers, denoiser), seed, POLISH)


def compute_all(
    tasks: Iterable[str],
    solvers: Iterable[str],
    steps: Iterable[int],
    file: Path = REFERENCES_FILE,
    seed: int = 0,
    again: bool = False,
    candidates: Iterable[Path] = (),
    freedom: Freedom | None = None,
) -> None:
    """Compute all combinations that the file lacks.

    It stores each one at once, so you can interrupt it and run it again to continue. With ``again`` it also computes
    stored ones with this seed, and keeps the better oracle of the two. ``candidates`` are files of JSON lines with
    "task", "solver", "num_steps" and "sigmas". It polishes the grids in them instead of a search, and keeps the better
    of the result and the stored oracle. With a ``freedom`` the oracles are samplers, one for all solvers.

    Raises:
        ValueError: for an unknown task or solver, a K below 2 (it allows only one grid), or an invalid file of
            candidates.
    """
    from tqdm import tqdm

    tried = _candidates(candidates)
    if freedom is not None:
        solvers = ("dpmpp_2m",)  # of the grid that the search begins with
    # Check all of them before the first computation, which may take minutes.
    wanted = [(Target.of(task, solver, freedom), k) for task in tasks for solver in solvers for k in steps]
    if few := [k for _, k in wanted if k < 2]:
        raise ValueError(f"a reference has at least 2 steps, got {few[0]}: with one step there is one grid")
    with tqdm(wanted, desc="oracles") as bar:
        for target, k in bar:
            bar.set_postfix_str(f"{target.task}, {target.solver.name}, K = {k}")
            key = key_of(target, k)
            others = [entry for entry in load_references(file) if entry.key != key]
            known = next((entry for entry in load_references(file) if entry.key == key), None)
            if known is not None and not known.fits(target.denoiser):
                known = None
            found = tried.get((target.task, target.solver.name, k), []) if freedom is None else []
            if known is not None and not again and not found:
                continue
            if found:
                new = polish(target, k, [*found, *([known.oracle_sigmas] if known else [])], seed)
            else:
                new = compute_reference(target, k, seed)
            write_references([*others, new if known is None else better(target, known, new)], file)
