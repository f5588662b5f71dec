"""Compares grids on the exact tasks: dual-weighted stiffness with Euler, measured defects with any solver."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser
from art_gym.evaluation.heldout import evaluate_plan
from art_gym.schedules.closed_forms import art, cancellation_aware, dual_weighted
from art_gym.schedules.grids.base import make_grid
from art_gym.search.defect import LATENTS, defect
from art_gym.search.evolution import evolve
from art_gym.search.spaces import Grids
from art_gym.search.tuned import tuned
from art_gym.tasks.references import find_reference
from art_gym.tasks.registry import BUILT_IN, resolve
from art_gym.tasks.target import Target

from ..reports import pictures
from ..reports.comparison import tuned_label
from .art_rl import QUICK_SHARE, train_art_rl
from .study import Record, Study, bank_noises, markdown

Make = Callable[[Counted], np.ndarray]  # makes levels with a denoiser that counts their cost
STEPS = (5, 7, 10, 18)
TUNING_NOISES = 512  # to fit the tuned grids and the closed form
DUAL_LATENTS = 64  # few, because the dual-weighted forms solve the ODE from each node
EDM_TUNED = tuned_label("edm")
DEFECTS = {"defect": None, "defect, few calls": 30_000}  # evaluations, by default enough for 1.2 × the oracle's error
LEARNED = {"ART-RL": "stiffness", "ART-RL, dual-weighted": "dual_stiffness"}


def dual(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Root-mean-square and mean endpoint error with Euler, of closed forms, ART-RL and the oracle.

    Ratios use the stored references of the day, so that a new table follows better ones.
    """
    study = Study("dual", out)
    rows: dict[tuple[str, int, str], list[Record]] = {}
    for task in ("gaussian_1d", "mixture_1d") if quick else BUILT_IN:
        for num_steps in STEPS:
            edm = {EDM_TUNED: _tuned("edm", task, "euler", num_steps)}
            for method, make in (_closed_forms(task, num_steps) | edm).items():
                rows[task, num_steps, method] = [_evaluated(study, method, task, "euler", num_steps, make)]
        for method, reward in LEARNED.items():
            for seed in seeds:
                for num_steps, record in _learned(study, method, reward, task, seed, quick).items():
                    rows.setdefault((task, num_steps, method), []).append(record)
    _draw(study, rows, "digits", "ART-RL, dual-weighted")
    text = "\n\n".join(
        f"{title} over the oracle's ({len(seeds)} seeds of what is learned: lowest–highest)\n\n"
        + _ratios(rows, "euler", key, _span)
        for title, key in (("Root-mean-square endpoint error", "rms"), ("Mean endpoint error", "error"))
    )
    return study.finish("Dual-weighted stiffness, Euler", text)


def defects(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Mean endpoint error with every solver of the measured defect's grid, closed forms, rivals and the oracle."""
    study = Study("defect", out)
    texts = []
    for solver in ("dpmpp_2m",) if quick else ("dpmpp_2m", "heun", "euler"):
        rows: dict[tuple[str, int, str], list[Record]] = {}
        for task in ("gaussian_1d", "mixture_1d") if quick else BUILT_IN:
            for num_steps in STEPS:
                methods = _closed_forms(task, num_steps) | _searches(task, solver, num_steps)
                for method, make in methods.items():
                    rows[task, num_steps, method] = [_evaluated(study, method, task, solver, num_steps, make)]
                for (method, budget), seed in product(DEFECTS.items(), seeds):
                    make = _defect(task, solver, num_steps, seed, budget)
                    record = _evaluated(study, method, task, solver, num_steps, make, seed)
                    rows.setdefault((task, num_steps, method), []).append(record)
        costs = []
        for method in DEFECTS:
            costs += [
                [f"{method}: CPU seconds", *_costs(rows, method, "seconds", "{:.1f}")],
                [f"{method}: thousands of evaluations", *_costs(rows, method, "evaluations", "{:.0f}", 1e-3)],
                [f"{method}: calls", *_costs(rows, method, "calls", "{:.0f}")],
            ]
        costs.append(["CMA-ES: CPU seconds", *_costs(rows, "CMA-ES", "seconds", "{:.1f}")])
        tasks = list(dict.fromkeys(task for task, *_ in rows))
        texts += [
            f"### {solver}\n\nMean endpoint error over the oracle's ({len(seeds)} seeds of defect: median, in brackets "
            f"the worst)\n\n{_ratios(rows, solver, 'error', _median_and_worst)}",
            markdown(["cost at K = 5 / 7 / 10 / 18", *tasks], costs),
        ]
        if solver == "dpmpp_2m":
            _draw(study, rows, "digits", "defect")
    return study.finish("Measured defects, every solver", "\n\n".join(texts))


def _closed_forms(task: str, num_steps: int) -> dict[str, Make]:
    def from_noises(form: Callable[[Denoiser, int, np.ndarray], np.ndarray], count: int) -> Make:
        return lambda denoiser: form(denoiser, num_steps, bank_noises(task, "train", count)[0])

    return {
        "EDM ρ=7": lambda denoiser: make_grid("edm", num_steps, denoiser),
        "arctan": lambda denoiser: make_grid("arctan", num_steps, denoiser),
        "sigmoid": lambda denoiser: make_grid("sigmoid", num_steps, denoiser),
        "ART closed form": from_noises(art, TUNING_NOISES),
        "dual-weighted (a)": from_noises(dual_weighted, DUAL_LATENTS),
        "dual-weighted (b)": from_noises(cancellation_aware, DUAL_LATENTS),
    }


def _searches(task: str, solver: str, num_steps: int) -> dict[str, Make]:
    def cma(denoiser: Denoiser) -> np.ndarray:
        noises = bank_noises(task, "train", 4096)
        *_, levels = evolve(Grids(denoiser, num_steps, solver), *noises, generations=40 + 10 * num_steps)
        return levels

    return {
        EDM_TUNED: _tuned("edm", task, solver, num_steps),
        tuned_label("log_normal"): _tuned("log_normal", task, solver, num_steps),
        "CMA-ES": cma,
    }


def _tuned(name: str, task: str, solver: str, num_steps: int) -> Make:
    return lambda denoiser: tuned(name, num_steps, denoiser, solver, *bank_noises(task, "train", TUNING_NOISES))[0]


def _defect(task: str, solver: str, num_steps: int, seed: int, budget: float | None) -> Make:
    return lambda denoiser: defect(denoiser, num_steps, solver, *bank_noises(task, "train", LATENTS[1]), seed, budget)


def _evaluated(study: Study, method: str, task: str, solver: str, num_steps: int, make: Make, seed: int = 0) -> Record:
    def compute() -> Record:
        bank_noises(task, "train", TUNING_NOISES)  # made first, because every method uses them
        denoiser = Counted(resolve(task))
        began = time.process_time()  # CPU time, without other jobs of the machine
        levels = make(denoiser)
        cost = {"seconds": time.process_time() - began, "calls": denoiser.calls, "evaluations": denoiser.evaluations}
        return {**cost, **_measures(task, solver, levels)}

    return study.once({"method": method, "task": task, "solver": solver, "num_steps": num_steps, "seed": seed}, compute)


def _measures(task: str, solver: str, levels: np.ndarray) -> Record:
    found = evaluate_plan(Target.of(task, solver), levels, distances=False)
    return {"error": found.error, "rms": found.rms, "median": found.median}


def _learned(study: Study, method: str, reward: str, task: str, seed: int, quick: bool) -> dict[int, Record]:
    def compute() -> Record:
        trained = train_art_rl(task, seed, QUICK_SHARE if quick else 1.0, {"reward": reward})
        measures = {str(k): _measures(task, "euler", trained.model.levels(k)) for k in STEPS}
        return {"seconds": trained.seconds, "evaluations": trained.evaluations, "measures": measures}

    record = study.once({"method": method, "task": task, "seed": seed, "quick": quick}, compute)
    return {int(k): measures for k, measures in record["measures"].items()}


def _ratios(
    rows: dict[tuple[str, int, str], list[Record]], solver: str, key: str, form: Callable[[list[float]], str]
) -> str:
    """One line per method and one column per task, with all K in a cell. ``form`` writes the ratios of all seeds."""
    tasks = list(dict.fromkeys(task for task, *_ in rows))
    methods = list(dict.fromkeys(method for *_, method in rows))

    def cell(task: str, method: str) -> str:
        ratios = []
        for k in STEPS:
            least, floor = _oracle(task, solver, k, key)
            ratios.append([max(r[key], floor) / max(least, floor) for r in rows[task, k, method]])
        return " / ".join(map(form, ratios))

    lines = [[method, *(cell(task, method) for task in tasks)] for method in methods]
    return markdown([f"K = {' / '.join(map(str, STEPS))}", *tasks], lines)


@lru_cache
def _oracle(task: str, solver: str, num_steps: int, key: str) -> tuple[float, float]:
    """The stored oracle's error (or root mean square) on held-out noise, and the floor below which errors are equal."""
    target = Target.of(task, solver)
    reference = find_reference(target, num_steps)
    assert reference is not None  # every exact task has one for these solvers and K
    if key == "error":
        return reference.oracle_error, reference.floor
    return evaluate_plan(target, np.array(reference.oracle_sigmas), distances=False).rms, reference.floor


def _median_and_worst(ratios: list[float]) -> str:
    return f"{np.median(ratios):.2f}" + (f" ({max(ratios):.2f})" if len(ratios) > 1 else "")


def _span(ratios: list[float]) -> str:
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return low if low == high else f"{low}–{high}"


def _costs(
    rows: dict[tuple[str, int, str], list[Record]], method: str, key: str, form: str, unit: float = 1.0
) -> Sequence[str]:
    """The medians over the seeds, with a column for each task."""

    def median(task: str, num_steps: int) -> str:
        return form.format(unit * np.median([record[key] for record in rows[task, num_steps, method]]))

    tasks = list(dict.fromkeys(task for task, *_ in rows))
    return [" / ".join(median(task, k) for k in STEPS) for task in tasks]


def _draw(study: Study, rows: dict[tuple[str, int, str], list[Record]], preferred: str, highlight: str) -> None:
    tasks: Iterable[str] = dict.fromkeys(task for task, *_ in rows)
    task = preferred if preferred in tasks else next(iter(tasks))
    errors: dict[str, dict[int, float]] = {}
    for (where, k, method), records in rows.items():
        if where == task:
            errors.setdefault(method, {})[k] = float(np.median([record["error"] for record in records]))
    pictures.error_curves(study.folder / f"{study.folder.name}.png", errors, highlight=highlight)
