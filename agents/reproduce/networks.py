"""The shipped networks: schedules against each other at equal cost, and what transfers (the paper's Tables 2 to 6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.evaluation import evaluate_levels
from art_gym.quality import energy_distance, frechet_distance, precision_recall
from art_gym.sampling import integrate
from art_gym.schedules.closed_forms import art, cancellation_aware, dual_weighted
from art_gym.schedules.defect import GaussNewton, defect
from art_gym.schedules.fractions import levels_from_logits, logits_from_levels
from art_gym.schedules.grids import edm_grid, make_grid
from art_gym.schedules.schedule import Schedule
from art_gym.schedules.tuned import tuned
from art_gym.solvers import get_solver
from art_gym.tasks import resolve

from .. import pictures
from ..comparison import tuned_label
from ..edm_curve import steps_reaching
from .study import Record, Study, bank_noises, markdown, mean_and_range, of_seeds

Levels = np.ndarray | Schedule
NFE = (3, 5, 9, 13, 19, 35)  # the layout of the paper's Table 2
SOLVERS = ("euler", "dpmpp_2m", "heun")
TASKS = ("digits_net", "photos_net")
NOISES = {"digits_net": 2048, "photos_net": 256}  # held out
EVALUATIONS = {"photos_net": 50_000}  # of what is learned, for each schedule; 400,000 elsewhere
GROUPS = 16  # of the jackknife
ENOUGH_FOR_ENERGY = 1000  # noises: with 256 the distance between draws of the data is as large as its differences
TRAINING = {"digits_net": 512, "photos_net": 96}
TUNING = {"digits_net": 512, "photos_net": 32}  # noises that EDM's grid is tuned on
HAND_MADE = ("edm", "log_snr", "cosine", "arctan")
EDM_TUNED = tuned_label("edm")
LEARNED = "learned (Gauss-Newton)"
ORACLE = "oracle (best fixed grid known)"
ORACLE_NOISES = {"digits_net": 1024, "photos_net": 96}
ORACLE_STEPS = {"digits_net": 3, "photos_net": 1}  # of Gauss-Newton, from the best grid that any method found
DUAL = {"dual-weighted (a)": dual_weighted, "dual-weighted (b)": cancellation_aware}
DUAL_LATENTS = {"digits_net": 64, "photos_net": 8}
SHOWN = 16  # images in a picture
LEARNED_AT = 10  # steps of the schedules that are used elsewhere
ACROSS_STEPS = (5, 7, 10, 14, 20)
ACROSS = ("digits", "digits_net", "digits_class?guidance=2", "digits_inpaint", "photos_net")


def networks(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Error, Fréchet and energy distance, steps saved by NFE; transfer across K, solvers and tasks."""
    study = Study("networks", out)
    texts = []
    for task in TASKS[: 1 if quick else None]:
        _draw_samples(study, task)
        for solver in SOLVERS[: 1 if quick else None]:
            texts.append(_by_nfe(study, task, solver, seeds, NFE[:2] if quick else NFE))
    if not quick:
        texts += [across(study, seeds) for across in (_across_steps, _across_solvers, _across_tasks)]
    return study.finish("The shipped networks", "\n\n".join(texts))


def _draw_samples(study: Study, task: str) -> None:
    """What the network makes of noise, by the precise solution, beside as many images of the data."""
    denoiser = resolve(task)
    images = denoiser.sample_data(SHOWN, np.random.default_rng(17))  # type: ignore[attr-defined]
    _, endpoints = bank_noises(task, "heldout", SHOWN)
    pictures.samples(study.folder / f"{task}_samples.png", {"data": images, f"{task}, precise": endpoints})


def steps_of(solver: str, nfe: int) -> int:
    """K with that many denoiser calls, rounded up."""
    per_step = get_solver(solver).calls_per_step
    return -(-(nfe - 1) // per_step) + 1


def _by_nfe(study: Study, task: str, solver: str, seeds: tuple[int, ...], counts: tuple[int, ...]) -> str:
    rows: dict[str, list[list[Record]]] = {}
    for nfe in counts:
        k = steps_of(solver, nfe)
        found: list[np.ndarray] = []
        for method, make in _methods(study, task, solver, k, found).items():
            records = [
                study.once(
                    {"task": task, "solver": solver, "num_steps": k, "method": method, "seed": seed},
                    lambda make=make, seed=seed: _measured(task, solver, make(seed)),  # type: ignore[misc]
                )
                for seed in (seeds if method == LEARNED else (0,))
            ]
            found += [np.array(record["sigmas"]) for record in records]
            rows.setdefault(method, []).append(records)
    left_out = {
        method: [
            study.once(
                {"task": task, "solver": solver, "num_steps": steps_of(solver, nfe), "left_out": method},
                lambda record=records[0]: _left_out(task, solver, record["sigmas"]),  # type: ignore[misc]
            )["frechet"]
            for nfe, records in zip(counts, row, strict=True)
        ]
        for method, row in rows.items()
    }
    heads = ["NFE", *map(str, counts)]
    frechet = [[method, *map(_frechet_cell, row, left_out[method])] for method, row in rows.items()]
    tables = {
        key: markdown(heads, [[method, *(cell(records) for records in row)] for method, row in rows.items()])
        for key, cell in (
            ("error", _error_cell),
            ("coverage", _coverage_cell),
        )
    }
    steps = [steps_of(solver, nfe) for nfe in counts]
    means = {method: [_mean(records, "error") for records in row] for method, row in rows.items()}
    budgets, curve = _edm_curve(study, task, solver, steps)
    learned = [[record["error"] for record in records] for records in rows[LEARNED]]  # of each K, a seed each
    saved = _steps_saved(steps, learned, budgets, curve)
    saved_of_tuned = _steps_saved(steps, learned, steps, means[EDM_TUNED])
    pictures.error_curves(
        study.folder / f"{task}_{solver}.png",
        {method: dict(zip(counts, values, strict=True)) for method, values in means.items() if method != ORACLE},
        highlight=LEARNED,
        oracle=dict(zip(counts, means[ORACLE], strict=True)),
        x_label="denoiser calls for a sample (NFE)",
    )
    exact = study.once({"task": task, "method": "precise endpoints"}, lambda: _exact(task))
    noise = study.once({"task": task, "method": "data against data"}, lambda: _noise(task))
    parts = [
        f"### {task}, {solver}\n\nMean endpoint error, {NOISES[task]} held-out noises, ± half the 95 % interval over "
        f"them; of what is learned the {of_seeds(seeds)}",
        tables["error"],
        f"Fréchet distance to as many images of the data, the same for all, in features of the classifier, ± half the "
        f"95 % interval over the noises (jackknife with {GROUPS} groups); the precise endpoints have "
        f"{exact['frechet']:.2f}, and {NOISES[task]} images of the data against as many others "
        f"{_spread(noise['frechet'], 2)}: the estimator's bias and noise",
        markdown(heads, frechet),
        f"Lower than the learned schedule's (seed {seeds[0]}) by more than half the 95 % interval of the difference on "
        f"the same noises, which is far shorter than either's own: {_below_learned(counts, rows, left_out)}.",
        f"Precision / recall in the same features; the precise endpoints have "
        f"{exact['precision']:.2f} / {exact['recall']:.2f}",
        tables["coverage"],
    ]
    if NOISES[task] >= ENOUGH_FOR_ENERGY:
        energies = [[method, *(_cell(records, "energy", 4) for records in row)] for method, row in rows.items()]
        parts += [
            f"Energy distance to the same images, in their pixels; the precise endpoints have {exact['energy']:.4f}, "
            f"and images of the data against others {_spread(noise['energy'], 4)}: this estimator has no bias, and can "
            f"be below 0",
            markdown(heads, energies),
        ]
    return "\n\n".join(
        [
            *parts,
            f"Steps saved against EDM (in brackets with the errors of single seeds): {saved}",
            f"Against EDM tuned for each K, between these: {saved_of_tuned}",
        ]
    )


def _mean(records: list[Record], key: str) -> float:
    return float(np.mean([record[key] for record in records]))


def _error_cell(records: list[Record]) -> str:
    if len(records) == 1:
        return f"{records[0]['error']:.4f} ± {records[0]['half_interval']:.4f}"
    return mean_and_range([record["error"] for record in records])


def _frechet_cell(records: list[Record], left_out: list[float]) -> str:
    known = _cell(records, "frechet", 2)
    return known if len(records) > 1 else f"{known} ± {_jackknife(np.array(left_out)):.2f}"


def _below_learned(
    counts: tuple[int, ...], rows: dict[str, list[list[Record]]], left_out: dict[str, list[list[float]]]
) -> str:
    """Where a grid's Fréchet distance is lower than the learned schedule's, and how sure that is."""
    said = []
    for method, row in rows.items():
        where = []
        for column, nfe in enumerate(counts):
            difference = rows[LEARNED][column][0]["frechet"] - row[column][0]["frechet"]
            half = _jackknife(np.subtract(left_out[LEARNED][column], left_out[method][column]))
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


def _methods(
    study: Study, task: str, solver: str, num_steps: int, found: list[np.ndarray]
) -> dict[str, Callable[[int], np.ndarray]]:
    """Grids by method, as functions of a seed; the oracle starts from those that the others have ``found`` by then."""
    denoiser = resolve(task)
    methods: dict[str, Callable[[int], np.ndarray]] = {
        name: lambda _, name=name: make_grid(name, num_steps, denoiser)  # type: ignore[misc]
        for name in HAND_MADE
    }
    methods[EDM_TUNED] = lambda _: _tuned_edm(task, solver, num_steps)
    methods["ART closed form"] = lambda seed: art(denoiser, num_steps, _training(task)[0][:64])
    for name, form in DUAL.items():
        methods[name] = (
            lambda _, name=name, form=form: np.array(  # type: ignore[misc]
                study.once(  # the same for every solver, and dear: the ODE is solved from each of its nodes
                    {"task": task, "num_steps": num_steps, "method": name},
                    lambda: {"sigmas": form(denoiser, num_steps, _training(task)[0][: DUAL_LATENTS[task]]).tolist()},
                )["sigmas"]
            )
        )
    methods[LEARNED] = lambda seed: _learn(task, solver, num_steps, seed)
    methods[ORACLE] = lambda _: _oracle(task, solver, found)
    return methods


def _tuned_edm(task: str, solver: str, num_steps: int) -> np.ndarray:
    denoiser, (start, endpoints) = resolve(task), _training(task)
    noises = start[: TUNING[task]], endpoints[: TUNING[task]]
    return tuned("edm", num_steps, denoiser, solver, *noises)[0]


def _tuned_once(study: Study, task: str, solver: str, num_steps: int) -> np.ndarray:
    key = {"tuned": task, "solver": solver, "num_steps": num_steps}
    return np.array(study.once(key, lambda: {"sigmas": _tuned_edm(task, solver, num_steps).tolist()})["sigmas"])


def _oracle(task: str, solver: str, grids: list[np.ndarray]) -> np.ndarray:
    """The best fixed grid known: the best of all grids on training noises, improved on them by Gauss-Newton."""
    denoiser, (start, endpoints) = resolve(task), (noises[: ORACLE_NOISES[task]] for noises in _training(task))
    fit = GaussNewton(Counted(denoiser), get_solver(solver), start, endpoints)
    first = min((logits_from_levels(grid, denoiser) for grid in grids), key=lambda tried: fit.improve(tried, 0)[0])
    return levels_from_logits(fit.improve(first, ORACLE_STEPS[task])[1], denoiser)


def _learn(task: str, solver: str, num_steps: int, seed: int) -> np.ndarray:
    start, endpoints = _training(task)
    half = len(start) // 2  # each seed has noises of its own
    rows = np.random.default_rng(seed).permutation(len(start))[:half]
    budget = EVALUATIONS.get(task, 400_000)
    return defect(resolve(task), num_steps, solver, start[rows], endpoints[rows], seed, budget)


def _training(task: str) -> tuple[np.ndarray, np.ndarray]:
    return bank_noises(task, "train", 2 * TRAINING.get(task, 512))


def _error(task: str, solver: str, levels: Levels) -> float:
    return evaluate_levels(task, solver, levels, NOISES.get(task, 1024), distances=False).error


def _measured(task: str, solver: str, levels: np.ndarray) -> Record:
    found = evaluate_levels(task, solver, levels, NOISES[task])
    return {
        "error": found.error,
        "half_interval": found.error_interval,
        "frechet": found.frechet,
        "energy": found.energy,
        "precision": found.precision,
        "recall": found.recall,
        "sigmas": levels.tolist(),
    }


def _left_out(task: str, solver: str, levels: list[float]) -> Record:
    """Fréchet distances of a grid's samples without one group of the held-out noises at a time."""
    start, _ = bank_noises(task, "heldout", NOISES[task])
    ours = _features(task, integrate(resolve(task), levels, start, solver))
    theirs = _features(task, _data(task, 17))
    parts = (np.delete(ours, slice(group, None, GROUPS), axis=0) for group in range(GROUPS))
    return {"frechet": [frechet_distance(part, theirs) for part in parts]}


def _jackknife(left_out: np.ndarray) -> float:
    """Half the 95 % interval of what has (GROUPS,) values without a group at a time (Efron & Stein 1981)."""
    return 1.96 * float(np.sqrt((GROUPS - 1) * np.var(left_out)))


def _exact(task: str) -> Record:
    """Distances to data of the precise endpoints, on the draws that samples are compared with."""
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


def _noise(task: str) -> Record:
    """Distances between independent draws of the data, as many as there are held-out noises."""
    draws = [_data(task, [19, i]) for i in range(12)]
    pairs = list(zip(draws[::2], draws[1::2], strict=True))
    return {
        "frechet": [frechet_distance(_features(task, a), _features(task, b)) for a, b in pairs],
        "energy": [_energy(a, b) for a, b in pairs],
    }


def _energy(first: np.ndarray, second: np.ndarray) -> float:
    return energy_distance(first.reshape(len(first), -1), second.reshape(len(second), -1))


def _data(task: str, seed: int | list[int]) -> np.ndarray:
    return resolve(task).sample_data(NOISES[task], np.random.default_rng(seed))  # type: ignore[attr-defined]


def _features(task: str, images: np.ndarray) -> np.ndarray:
    return resolve(task).features(images)  # type: ignore[attr-defined]


def _edm_curve(study: Study, task: str, solver: str, steps: list[int]) -> tuple[list[int], list[float]]:
    """K up to twice the largest, and EDM's errors there."""
    budgets = sorted({*steps, *(2 * k for k in steps), *(round(1.4 * k) for k in steps)})
    curve = [
        study.once(
            {"task": task, "solver": solver, "num_steps": k, "method": "EDM's curve"},
            lambda k=k: {"error": _error(task, solver, edm_grid(k, resolve(task)))},  # type: ignore[misc]
        )["error"]
        for k in budgets
    ]
    return budgets, curve


def _steps_saved(steps: list[int], errors: list[list[float]], budgets: list[int], curve: list[float]) -> str:
    """By interpolation in the log of the other grid's errors, ``curve`` at the K in ``budgets``.

    Of the mean of the seeds' ``errors`` at each K, and in brackets of the seeds'.
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


def _schedules(study: Study, task: str, solver: str, num_steps: int, seeds: tuple[int, ...]) -> list[Schedule]:
    """What is learned with each seed."""
    key = {"task": task, "solver": solver, "num_steps": num_steps, "method": "schedule to transfer"}
    found = []
    for seed in seeds:
        record = study.once(
            {**key, "seed": seed},
            lambda seed=seed: {"sigmas": _learn(task, solver, num_steps, seed).tolist()},  # type: ignore[misc]
        )
        found.append(Schedule(tuple(record["sigmas"]), "defect", task, solver))
    return found


def _across_steps(study: Study, seeds: tuple[int, ...]) -> str:
    lines = []
    for task in TASKS:
        moved = _schedules(study, task, "dpmpp_2m", LEARNED_AT, seeds)
        rows = {
            "EDM": lambda k, task=task: [edm_grid(k, resolve(task))],
            EDM_TUNED: lambda k, task=task: [_tuned_once(study, task, "dpmpp_2m", k)],
            f"learned at K = {LEARNED_AT}, resampled": lambda k, moved=moved: [
                schedule.resample(k) for schedule in moved
            ],
            "learned at each K": lambda k, task=task: _schedules(study, task, "dpmpp_2m", k, seeds),
        }
        for name, grids in rows.items():
            # EDM's grid, of which there is one, is kept under the first seed
            found = [
                _across_errors(study, task, name, k, dict(zip(seeds, grids(k), strict=False))) for k in ACROSS_STEPS
            ]
            lines.append([f"{task}, {name}", *map(mean_and_range, found)])
    table = markdown(["", *(f"K = {k}" for k in ACROSS_STEPS)], lines)
    return f"### Across K, dpmpp_2m: mean endpoint error, {of_seeds(seeds)}\n\n{table}"


def _across_errors(study: Study, task: str, name: str, num_steps: int, grids: dict[int, Levels]) -> list[float]:
    """Errors of the grids of each seed."""
    key = {"across": "steps", "task": task, "grid": name, "num_steps": num_steps}
    return [
        study.once(
            {**key, "seed": seed},
            lambda levels=levels: {"error": _error(task, "dpmpp_2m", levels)},  # type: ignore[misc]
        )["error"]
        for seed, levels in grids.items()
    ]


def _across_solvers(study: Study, seeds: tuple[int, ...]) -> str:
    lines = [
        [f"{task}, {source}", *(_gains(study, task, source, task, target, seeds) for target in SOLVERS)]
        for task in TASKS
        for source in SOLVERS
    ]
    table = markdown(["learned with / used with", *SOLVERS], lines)
    title = (
        f"Across solvers, K = {LEARNED_AT}: error over EDM's with the solver that it is used with, {of_seeds(seeds)}"
    )
    return f"### {title}\n\n{table}"


def _across_tasks(study: Study, seeds: tuple[int, ...]) -> str:
    lines = [
        [source, *(_gains(study, source, "dpmpp_2m", target, "dpmpp_2m", seeds) for target in ACROSS)]
        for source in ACROSS
    ]
    table = markdown(["learned on / used on", *ACROSS], lines)
    title = (
        f"Across tasks, dpmpp_2m, K = {LEARNED_AT}: error over EDM's on the task that it is used on, {of_seeds(seeds)}"
    )
    return f"### {title}\n\n{table}"


def _gains(study: Study, source: str, learned: str, target: str, used: str, seeds: tuple[int, ...]) -> str:
    denoiser, errors = resolve(target), []
    for seed, schedule in zip(seeds, _schedules(study, source, learned, LEARNED_AT, seeds), strict=True):
        inner = np.clip(schedule.sigmas[1:-1], denoiser.sigma_min, 0.999 * denoiser.sigma_max)
        moved = np.array([denoiser.sigma_max, *inner, 0.0])  # from the σ_max of the task that it is used on
        record = study.once(
            {"across": "uses", "source": source, "learned": learned, "target": target, "used": used, "seed": seed},
            lambda moved=moved: {"error": _error(target, used, moved)},  # type: ignore[misc]
        )
        errors.append(record["error"])
    edm = study.once(
        {"across": "EDM", "target": target, "used": used},
        lambda: {"error": _error(target, used, edm_grid(LEARNED_AT, denoiser))},
    )["error"]
    return mean_and_range([error / edm for error in errors], 2)
