"""Brings agents that were trained before the benchmark existed into its form, in results/leaderboard/earlier.jsonl.

    python benchmarks/earlier_runs.py

PPO and SAC as shipped end in a fixed grid, which is measured again on the noises of each seed. Policies that see the
latents cannot be measured again without training. Their error was measured on the noises of seed 0, and stands there.
The commit of such a line is the version that trained it, and its hash is that of the record's own settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from art_gym.agents.benchmark.method import endpoint_cost
from art_gym.agents.benchmark.results import Line, append, hash_of, numbers_of, read
from art_gym.agents.benchmark.scale import load_scale, measured, target_of
from art_gym.agents.benchmark.suite import SAMPLER, Cell, load_suite

RESULTS = Path(__file__).parent / "results"
OUT = RESULTS / "leaderboard" / "earlier.jsonl"
SUITE = load_suite("v1")
POPULATION, NOISES = 64, 4096  # of the environments that they were trained in
PROCEDURAL_POPULATION = 16

Record = dict[str, Any]


def records(name: str) -> list[Record]:
    """The records in a file below results."""
    return [json.loads(line) for line in (RESULTS / name).read_text().splitlines()]


def line(algorithm: str, cell: Cell, record: Record, error: float, spent: int, settings: Record) -> Line:
    """A line without its score. ``spent`` is what precise endpoints cost."""
    population = PROCEDURAL_POPULATION if cell.solver == "drawn" else POPULATION
    return Line(
        suite=SUITE.name,
        algorithm=algorithm,
        kind="RL",
        actions=SAMPLER if cell.solver == SAMPLER else "grid",
        task=cell.task,
        solver=cell.solver,
        num_steps=cell.num_steps,
        seed=record["seed"],
        commit=record["version"],
        steps=record["evaluations"] // population,
        calls=record["evaluations"] + spent,
        error=error,
        score=None,
        seconds=record.get("cpu_seconds") or record["seconds"],
        hyperparameters=hash_of(algorithm, settings),
    )


def fixed_grids() -> Iterator[Line]:
    """PPO and SAC as shipped, with one K."""
    for record in records("learning.jsonl"):
        cell = Cell(record["task"], record["solver"], record["num_steps"])
        assert abs(record["error"] - record["grid_error"]) < 1e-6 * record["error"], "the policy follows its sample"
        target, group = target_of(cell), SUITE.group(cell)
        error = measured(target, record["sigmas"], group, group.firsts[record["seed"]])
        spent = NOISES * endpoint_cost(target.denoiser)
        found = line(record["algo"], cell, record, error, spent, {"recipe": "shipped", "version": record["version"]})
        yield replace(found, **numbers_of(record["sigmas"]))


def policies() -> Iterator[Line]:
    """PPO without a search. Policies of seeds other than 0 were measured on other noises than the suite's."""
    for record in records("learning_without_warm_start.jsonl"):
        if record["algo"] == "ppo" and record["seed"] == 0 and record["action"] == "fraction":
            cell = Cell(record["task"], record["solver"], record["num_steps"])
            spent = NOISES * endpoint_cost(target_of(cell).denoiser)
            settings = {"recipe": "shipped, warm_start 0", "version": record["version"]}
            yield line("ppo_alone", cell, record, record["error"], spent, settings)


def for_all_k() -> Iterator[Line]:
    """One policy for a range of K: samplers, and grids for models that training never saw."""
    for record in records("reproduce/sampler_agents/results.jsonl"):
        if record["seed"] == 0 and isinstance(record["num_steps"], list):
            begun = "begun_by_defect" if record["search"] else "alone"
            name = f"sampler_{record['agent']}_{begun}_all_k"
            for k, error in record["errors"].items():
                cell = Cell(record["task"], SAMPLER, int(k))
                spent = NOISES * endpoint_cost(target_of(cell).denoiser)
                settings = {"steps": record["steps"], "version": record["version"]}
                yield line(name, cell, record, error, spent, settings)
    for record in records("reproduce/procedural/results.jsonl"):
        if record.get("seed") == 0 and "models" in record and record["actions"] == "grid":
            name = f"{record['algo']}_{record['models']}_models{'_begun_by_instant' if record['started'] else ''}"
            for k, error in record["errors"].items():
                cell = Cell("procedural_test", "drawn", int(k))
                spent = PROCEDURAL_POPULATION * record["models"] * endpoint_cost(target_of(cell).denoiser)
                settings = {"steps": record["steps"], "version": record["version"]}
                yield line(name, cell, record, error, spent, settings)


def main() -> None:
    """Append what is missing."""
    known, scale = {found.key for found in read([OUT])}, load_scale(SUITE.name)
    for part in (fixed_grids, policies, for_all_k):
        for found in part():
            if found.key not in known:
                append(OUT, replace(found, score=scale[found.cell].score(found.error, found.seed)))


if __name__ == "__main__":
    main()
