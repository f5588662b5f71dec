"""Samplers against the best grids, published samplers and learned ones, at equal calls on every task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.evaluation.edm_curve import LIMIT, steps_reaching
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.plans import Document, draw
from art_gym.samplers.sampler import Sampler
from art_gym.tasks.references import find_reference
from art_gym.tasks.target import Target

from ..reports.method_pictures import image_rows, method_errors
from ..reports.sampler_pictures import sampler_picture
from .sampler_measures import MEASURES, as_document, error_on, left_out, measured, of_endpoints, restored, stored, worse
from .sampler_methods import (
    BUDGETS,
    EDM,
    GRID,
    KNOWN,
    LEARNED,
    OURS,
    QUICK,
    SAMPLER,
    Budget,
    Method,
    Problem,
    good_grid,
    methods,
)
from .sampler_noises import noises_needed
from .study import Record, Study, markdown

STEPS = (5, 7, 10)
LATER = 18  # steps of one more best grid, for the calls that it needs
SHOWN_STEPS, SHOWN = (4, 5), 8  # of the picture of samples; noises in it
PICTURED = ("digits", "digits_net")
COSTS = "seconds", "evaluations"
AIM = 50  # per cent of EDM's calls to save
Rows = dict[tuple[int, str], list[Record]]  # by K and method, with one record for each seed
HEADS = (
    "K",
    "sampler",
    "chosen (numbers)",
    "error ± 95 %",
    "median",
    "Fréchet",
    "energy",
    "SW to data",
    "calls saved",
    "search: thousands of evaluations",
    "seconds",
)


def samplers(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """One table for each task, and what a sampler gains and loses."""
    study, texts, errors = Study("samplers", out), [], {}
    steps = STEPS[:1] if quick else STEPS
    for task in ("digits",) if quick else BUDGETS:
        one = _Task(study, task, QUICK if quick else BUDGETS[task], quick)
        rows = one.rows(steps, seeds)
        errors[task] = {name: {k: _mean(rows[k, name], "error") for k, of in rows if of == name} for _, name in rows}
        texts.append(_text(one, rows, steps, seeds))
        if task in PICTURED:
            _draw(one, steps, seeds[0])
    texts.append(noises_needed(study, seeds[0], quick))
    method_errors(study.folder / "errors.png", errors, highlight=[*OURS, KNOWN], compare=GRID)
    return study.finish("Samplers", "\n\n".join(texts))


class _Task:
    """The records of one task."""

    def __init__(self, study: Study, task: str, budget: Budget, quick: bool) -> None:
        self.study, self.target, self.budget = study, Target.of(task), budget
        self.about: Record = {"task": task, "quick": quick}

    def rows(self, steps: Iterable[int], seeds: tuple[int, ...]) -> Rows:
        """The records of all methods."""
        found: Rows = {}
        for k in steps:
            for name, method in methods().items():
                repeated = method.seeded and self.budget.every_seed
                found[k, name] = [self.record(name, k, seed) for seed in (seeds if repeated else seeds[:1])]
            known = self.best_sampler(k)
            if known is not None:
                found[k, KNOWN] = [known]
        return found

    def good_grid(self, num_steps: int) -> Record:
        """The grid with which all searches begin, and what it cost."""

        def compute() -> Record:
            levels, cost = _timed(lambda counted: good_grid(self.target, num_steps, self.budget, counted), self.target)
            return {"sigmas": levels.tolist(), **cost}

        return self.study.once({**self.about, "num_steps": num_steps, "begin": "a grid for 2M"}, compute)

    def record(self, name: str, num_steps: int, seed: int) -> Record:
        """A method's measures, its plan and its cost."""
        known = find_reference(self.target, num_steps) if name == GRID else None
        if known is not None:
            return self._known(name, num_steps, known.oracle)
        method = methods()[name]
        begin = self.good_grid(num_steps) if method.begins else {"seconds": 0.0, "evaluations": 0, "sigmas": []}
        tried = []
        for rate in method.rates:
            problem = Problem(self.target, num_steps, self.budget, np.array(begin["sigmas"]), seed, rate)
            key = {**self.about, "num_steps": num_steps, "method": name, "seed": seed}
            if len(method.rates) > 1:
                key["rate"] = rate
            tried.append(self.study.once(key, partial(self._found, name, method, problem)))
        best = min(tried, key=lambda record: record["training_error"])
        return {**best, **{cost: begin[cost] + sum(record[cost] for record in tried) for cost in COSTS}}

    def _found(self, name: str, method: Method, problem: Problem) -> Record:
        """What a method finds, its own cost, and its measures."""
        noises = problem.target.noises("train", self.budget.training)  # made outside the timing
        found, cost = _timed(lambda counted: method.make(problem, counted), self.target)
        plan = as_document(found)
        return {**cost, "training_error": error_on(self.target, plan, noises), **self.measures(name, plan)}

    def best_sampler(self, num_steps: int) -> Record | None:
        """The stored sampler oracle's measures, if there is one."""
        target = Target(self.target.task, self.target.denoiser, self.target.solver, Freedom())
        known = find_reference(target, num_steps)
        return None if known is None else self._known(KNOWN, num_steps, known.oracle)

    def _known(self, name: str, num_steps: int, plan: Document) -> Record:
        """The measures of a stored oracle. A better one is another record."""
        key = {**self.about, "num_steps": num_steps, "method": name, **stored(plan)}
        return self.study.once(key, lambda: {"seconds": None, "evaluations": None, **self.measures(name, plan)})

    def measures(self, name: str, plan: Document) -> Record:
        """All measures. What is learned, and the best grid, have those that intervals of differences need."""
        found = measured(self.target, plan, self.budget.heldout)
        return found | left_out(self.target, plan, self.budget.heldout) if name in (GRID, *LEARNED) else found

    def endpoints(self) -> Record:
        """The distances of the precise endpoints to data."""
        return self.study.once(
            {**self.about, "method": "precise endpoints"}, lambda: of_endpoints(self.target, self.budget.heldout)
        )


def _timed(make: Callable[[Counted], Any], target: Target) -> tuple[Any, Record]:
    """What a search finds, with its CPU seconds and evaluations."""
    counted, began = Counted(target.denoiser), process_time()
    found = make(counted)
    return found, {"seconds": process_time() - began, "evaluations": counted.evaluations}


def _text(one: _Task, rows: Rows, steps: Iterable[int], seeds: tuple[int, ...]) -> str:
    budget, ends = one.budget, one.endpoints()
    distances = [f"{MEASURES[name]} {_number(ends[name])}" for name in ("frechet", "energy", "sliced")]
    lines = [
        f"### {one.target.task}",
        f"{budget.training} noises to learn on, {budget.heldout} held out. Seeds: {_seeds(budget, seeds)}. In bold the "
        f"least error at this K without the stored oracle. The precise endpoints have: {', '.join(distances)}.",
        _table(rows, steps),
        *_saved(one, rows, steps, seeds),
    ]
    found = [said for name in LEARNED if (said := _worse(rows, steps, name))]
    lines.append(
        "Worse than the best grid in another measure, by more than half the 95 % interval of the difference on the "
        f"same noises (jackknife): {'; '.join(found) or 'none'}."
    )
    return "\n\n".join(lines)


def _table(rows: Rows, steps: Iterable[int]) -> str:
    lines, known = [], methods()
    for k in steps:
        of_k = {name: records for (step, name), records in rows.items() if step == k}
        least = min((name for name in of_k if name != KNOWN), key=lambda name: _mean(of_k[name], "error"))
        for name, records in of_k.items():
            method = known.get(name)
            chosen = "levels, 2 weights and a told level a step" if method is None else method.chosen
            numbers = Freedom().size(k) if method is None else method.numbers(k)
            cells = [_number(_mean(records, key)) for key in MEASURES]
            lines.append(
                [
                    str(k),
                    f"**{name}**" if name == least else name,
                    f"{chosen} ({numbers})",
                    _error(records),
                    *cells,
                    f"{_saved_share(k, records)} %",
                    "stored" if records[0]["evaluations"] is None else f"{_mean(records, 'evaluations') / 1e3:.0f}",
                    "–" if records[0]["seconds"] is None else f"{_mean(records, 'seconds'):.1f}",
                ]
            )
    return markdown(HEADS, lines)


def _seeds(budget: Budget, seeds: tuple[int, ...]) -> str:
    every = ", ".join(map(str, seeds))
    if not budget.every_seed or len(seeds) == 1:
        return str(seeds[0])
    return f"{every} of ours (their mean, and in brackets the range of the error), {seeds[0]} of all others"


def _error(records: list[Record]) -> str:
    """The error, half its interval over noises, and the range over seeds."""
    errors = [record["error"] for record in records]
    known = f"{_number(float(np.mean(errors)))} ± {_number(records[0]['half_interval'], 2)}"
    return known if len(errors) == 1 else f"{known} [{_number(min(errors))}, {_number(max(errors))}]"


def _saved_share(num_steps: int, records: list[Record]) -> str:
    """The share of EDM's calls that are saved. EDM's curve ends at 100 steps."""
    needed = _edm_steps(records)
    if not np.isfinite(needed):
        return f"> {100 * (1 - num_steps / LIMIT):.0f}"
    return f"{100 * (1 - num_steps / needed):z.0f}"


def _edm_steps(records: list[Record]) -> float:
    """The mean number of steps that EDM's grid needs, infinite if it is beyond its curve."""
    return float(np.mean([np.inf if record["edm_steps"] is None else record["edm_steps"] for record in records]))


def _saved(one: _Task, rows: Rows, steps: Iterable[int], seeds: tuple[int, ...]) -> list[str]:
    """The aim of saved calls, and the calls of the best grids for the same error."""
    reached = {k: 1 - k / _edm_steps(rows[k, SAMPLER]) >= AIM / 100 for k in steps}
    said = [f"K = {k}: {_saved_share(k, rows[k, SAMPLER])} % ({'yes' if reached[k] else 'no'})" for k in reached]
    lines = [f'Calls saved against EDM\'s grid by "{SAMPLER}", at least {AIM} %? {"; ".join(said)}.']
    if one.about["quick"]:
        return lines
    curve = {k: one.record(GRID, k, seeds[0])["error"] for k in (*steps, LATER)}
    against = []
    for k in reached:
        needed = steps_reaching(_mean(rows[k, SAMPLER], "error"), list(curve), list(curve.values()))
        saved = f"{needed:.1f} ({100 * (1 - k / needed):.0f} % fewer)" if np.isfinite(needed) else f"more than {LATER}"
        against.append(f"K = {k}: {saved}")
    return [*lines, f"Steps of the best grids for the same error: {'; '.join(against)}."]


def _worse(rows: Rows, steps: Iterable[int], name: str) -> str:
    """Where a sampler is worse than the best grid, and by how much."""
    said = []
    for k in (k for k in steps if (k, name) in rows):
        for measure, (difference, half) in worse(rows[k, name][0], rows[k, GRID][0]).items():
            said.append(f"{MEASURES[measure]} by {_number(difference)} ± {_number(half, 2)} at K = {k}")
    return f"{name}: {', '.join(said)}" if said else ""


def _mean(records: list[Record], key: str) -> Any:
    values = [record[key] for record in records]
    return None if values[0] is None else float(np.mean(values))


def _number(value: float | None, digits: int = 3) -> str:
    """A number to three digits, because errors of the tasks differ by orders of magnitude."""
    if value is None:
        return "–"
    return np.format_float_positional(value, digits, unique=False, fractional=False, trim="-")


def _draw(one: _Task, steps: Iterable[int], seed: int) -> None:
    """The picture of the sampler, and samples of the same noises."""
    task, folder = one.target.task, one.study.folder
    for k in steps:
        plan = restored(one.record(SAMPLER, k, seed))
        assert isinstance(plan, Sampler)
        sampler_picture(folder / f"{task}_sampler_{k}.png", plan, f"{task}, {SAMPLER}")
    start, endpoints = one.target.noises("heldout", SHOWN)
    blocks = {}
    for k in SHOWN_STEPS:
        plans = {name: restored(one.record(name, k, seed)) for name in (EDM, GRID, SAMPLER)}
        drawn = partial(draw, one.target.denoiser, x=start, solver=one.target.solver)
        blocks[f"{k} calls"] = {name: drawn(plan) for name, plan in plans.items()} | {"exact": endpoints}
    image_rows(folder / f"{task}_samples.png", blocks)
