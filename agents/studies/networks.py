"""The shipped networks: schedules against each other at equal cost (the paper's Tables 2 and 3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from art_gym.evaluation.edm_curve import steps_reaching
from art_gym.schedules.grids.base import edm_grid
from art_gym.solvers.base import get_solver
from art_gym.tasks.registry import resolve

from ..reports import pictures
from .network_grids import EDM_TUNED, LEARNED, ORACLE, SOLVERS, TASKS, methods
from .network_measures import (
    GROUPS,
    NOISES,
    error_of,
    frechet_left_out,
    jackknife,
    measured,
    of_data_itself,
    of_endpoints,
)
from .network_transfer import across_solvers, across_steps, across_tasks
from .study import Record, Study, bank_noises, markdown, mean_and_range, of_seeds

NFE = (3, 5, 9, 13, 19, 35)  # the layout of the paper's Table 2
ENOUGH_FOR_ENERGY = 1000  # noises. With 256, draws of the data differ as much as the schedules do.
SHOWN = 16  # images in a picture


def networks(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Error, Fréchet and energy distance and steps saved by NFE, and transfer across K, solvers and tasks."""
    study = Study("networks", out)
    texts = []
    for task in TASKS[: 1 if quick else None]:
        _draw_samples(study, task)
        for solver in SOLVERS[: 1 if quick else None]:
            texts += [_by_nfe(study, task, solver, seeds, NFE[:2] if quick else NFE)]
    if not quick:
        texts += [across(study, seeds) for across in (across_steps, across_solvers, across_tasks)]
    return study.finish("The shipped networks", "\n\n".join(texts))


def _draw_samples(study: Study, task: str) -> None:
    """Draw precise samples of the network beside as many images of the data."""
    denoiser = resolve(task)
    images = denoiser.sample_data(SHOWN, np.random.default_rng(17))  # type: ignore[attr-defined]
    _, endpoints = bank_noises(task, "heldout", SHOWN)
    pictures.samples(study.folder / f"{task}_samples.png", {"data": images, f"{task}, precise": endpoints})


def steps_of(solver: str, nfe: int) -> int:
    """The K that takes this many denoiser calls, rounded up."""
    per_step = get_solver(solver).calls_per_step
    return -(-(nfe - 1) // per_step) + 1


def _by_nfe(study: Study, task: str, solver: str, seeds: tuple[int, ...], counts: tuple[int, ...]) -> str:
    rows = _records(study, task, solver, seeds, counts)
    without = _without_a_group(study, task, solver, counts, rows)
    _draw_errors(study.folder / f"{task}_{solver}.png", counts, rows)
    ends = study.once({"task": task, "method": "precise endpoints"}, lambda: of_endpoints(task))
    data = study.once({"task": task, "method": "data against data"}, lambda: of_data_itself(task))
    heads = ["NFE", *map(str, counts)]
    frechet = [[method, *map(_frechet_cell, row, without[method])] for method, row in rows.items()]
    parts = [
        f"### {task}, {solver}\n\nMean endpoint error, {NOISES[task]} held-out noises, ± half the 95 % interval over "
        f"them; of what is learned the {of_seeds(seeds)}",
        _table(heads, rows, _error_cell),
        f"Fréchet distance to as many images of the data, the same for all, in features of the classifier, ± half the "
        f"95 % interval over the noises (jackknife with {GROUPS} groups); the precise endpoints have "
        f"{ends['frechet']:.2f}, and {NOISES[task]} images of the data against as many others "
        f"{_spread(data['frechet'], 2)}: the estimator's bias and noise",
        markdown(heads, frechet),
        f"Lower than the learned schedule's (seed {seeds[0]}) by more than half the 95 % interval of the difference on "
        f"the same noises, which is far shorter than either's own: {_below_learned(counts, rows, without)}.",
        f"Precision / recall in the same features; the precise endpoints have "
        f"{ends['precision']:.2f} / {ends['recall']:.2f}",
        _table(heads, rows, _coverage_cell),
    ]
    if NOISES[task] >= ENOUGH_FOR_ENERGY:
        parts += [
            f"Energy distance to the same images, in their pixels; the precise endpoints have {ends['energy']:.4f}, "
            f"and images of the data against others {_spread(data['energy'], 4)}: this estimator has no bias, and can "
            f"be below 0",
            _table(heads, rows, lambda records: _cell(records, "energy", 4)),
        ]
    return "\n\n".join([*parts, *_saved_lines(study, task, solver, counts, rows)])


def _records(
    study: Study, task: str, solver: str, seeds: tuple[int, ...], counts: tuple[int, ...]
) -> dict[str, list[list[Record]]]:
    """The measurements by method, with one record per seed for each NFE."""
    rows: dict[str, list[list[Record]]] = {}
    for nfe in counts:
        k = steps_of(solver, nfe)
        found: list[np.ndarray] = []
        for method, make in methods(study, task, solver, k, found).items():
            records = [
                study.once(
                    {"task": task, "solver": solver, "num_steps": k, "method": method, "seed": seed},
                    lambda make=make, seed=seed: measured(task, solver, make(seed)),  # type: ignore[misc]
                )
                for seed in (seeds if method == LEARNED else (0,))
            ]
            found += [np.array(record["sigmas"]) for record in records]
            rows.setdefault(method, []).append(records)
    return rows


def _without_a_group(
    study: Study, task: str, solver: str, counts: tuple[int, ...], rows: dict[str, list[list[Record]]]
) -> dict[str, list[list[float]]]:
    """Fréchet distances by method and NFE, each with one group of noises left out."""
    return {
        method: [
            study.once(
                {"task": task, "solver": solver, "num_steps": steps_of(solver, nfe), "left_out": method},
                lambda record=records[0]: frechet_left_out(task, solver, record["sigmas"]),  # type: ignore[misc]
            )["frechet"]
            for nfe, records in zip(counts, row, strict=True)
        ]
        for method, row in rows.items()
    }


def _draw_errors(file: Path, counts: tuple[int, ...], rows: dict[str, list[list[Record]]]) -> None:
    means = {method: [_mean(records, "error") for records in row] for method, row in rows.items()}
    pictures.error_curves(
        file,
        {method: dict(zip(counts, values, strict=True)) for method, values in means.items() if method != ORACLE},
        highlight=LEARNED,
        oracle=dict(zip(counts, means[ORACLE], strict=True)),
        x_label="denoiser calls for a sample (NFE)",
    )


def _saved_lines(
    study: Study, task: str, solver: str, counts: tuple[int, ...], rows: dict[str, list[list[Record]]]
) -> list[str]:
    steps = [steps_of(solver, nfe) for nfe in counts]
    learned = [[record["error"] for record in records] for records in rows[LEARNED]]  # by K, then by seed
    saved = _steps_saved(steps, learned, *_edm_curve(study, task, solver, steps))
    tuned = [_mean(records, "error") for records in rows[EDM_TUNED]]
    return [
        f"Steps saved against EDM (in brackets with the errors of single seeds): {saved}",
        f"Against EDM tuned for each K, between these: {_steps_saved(steps, learned, steps, tuned)}",
    ]


def _table(heads: list[str], rows: dict[str, list[list[Record]]], cell: Callable[[list[Record]], str]) -> str:
    return markdown(heads, [[method, *(cell(records) for records in row)] for method, row in rows.items()])


def _mean(records: list[Record], key: str) -> float:
    return float(np.mean([record[key] for record in records]))


def _error_cell(records: list[Record]) -> str:
    if len(records) == 1:
        return f"{records[0]['error']:.4f} ± {records[0]['half_interval']:.4f}"
    return mean_and_range([record["error"] for record in records])


def _frechet_cell(records: list[Record], left_out: list[float]) -> str:
    known = _cell(records, "frechet", 2)
    return known if len(records) > 1 else f"{known} ± {jackknife(np.array(left_out)):.2f}"


def _below_learned(
    counts: tuple[int, ...], rows: dict[str, list[list[Record]]], left_out: dict[str, list[list[float]]]
) -> str:
    """Where a grid's Fréchet distance is lower than the learned schedule's, and how sure that is."""
    said = []
    for method, row in rows.items():
        where = []
        for column, nfe in enumerate(counts):
            difference = rows[LEARNED][column][0]["frechet"] - row[column][0]["frechet"]
            half = jackknife(np.subtract(left_out[LEARNED][column], left_out[method][column]))
            if difference > half and method not in (LEARNED, ORACLE):
                where.append(f"{difference:.3f} ± {half:.3f} at NFE {nfe}")
        if where:
            said.append(f"{method} by {', '.join(where)}")
    return "; ".join(said) or "none"


def _cell(records: list[Record], key: str, digits: int) -> str:
    return mean_and_range([record[key] for record in records], digits)


def _spread(values: list[float], digits: int) -> str:
    return f"{np.mean(values):z.{digits}f} ± {np.std(values):.{digits}f} ({len(values)} pairs)"


def _coverage_cell(records: list[Record]) -> str:
    return f"{_mean(records, 'precision'):.2f} / {_mean(records, 'recall'):.2f}"


def _edm_curve(study: Study, task: str, solver: str, steps: list[int]) -> tuple[list[int], list[float]]:
    """The K of EDM's curve, up to twice the largest, and its errors."""
    budgets = sorted({*steps, *(2 * k for k in steps), *(round(1.4 * k) for k in steps)})
    curve = [
        study.once(
            {"task": task, "solver": solver, "num_steps": k, "method": "EDM's curve"},
            lambda k=k: {"error": error_of(task, solver, edm_grid(k, resolve(task)))},  # type: ignore[misc]
        )["error"]
        for k in budgets
    ]
    return budgets, curve


def _steps_saved(steps: list[int], errors: list[list[float]], budgets: list[int], curve: list[float]) -> str:
    """Steps saved, interpolated in the log of the other grid's errors, ``curve`` at the K in ``budgets``.

    They are for the mean of the seeds' ``errors`` at each K. The brackets hold the range over single seeds.
    """
    said = []
    for k, of_k in zip(steps, errors, strict=True):
        needed = steps_reaching(float(np.mean(of_k)), budgets, curve)
        ends = [f"{steps_reaching(error, budgets, curve):.1f}" for error in (max(of_k), min(of_k))]
        between = "" if ends[0] == ends[1] else f" [{', '.join(ends)}]"
        if not np.isfinite(needed):
            said.append(f"K = {k}: it needs more than {budgets[-1]}")
        elif needed == budgets[0]:
            said.append(f"K = {k}: none")
        else:
            said.append(f"K = {k}: it needs {needed:.1f}{between} ({100 * (1 - k / needed):.0f} % fewer)")
    return "; ".join(said) + "."
