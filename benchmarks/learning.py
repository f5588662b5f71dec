"""Scores an agent over tasks, solvers, budgets and seeds. Each run trains as `art-gym train` does.

    python benchmarks/learning.py --algo ppo --solvers dpmpp_2m --steps 5 7 10 --seeds 0 1 2

Results are appended to benchmarks/results/learning.jsonl as they come, and existing ones are not run again. The tables
lie beside them. With --no-search agents learn without the search with which PPO, and SAC on Ring2D, begin.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

import art_gym
from art_gym.agents.runs.config import TrainConfig
from art_gym.agents.runs.folder import Run
from art_gym.agents.studies.study import interval
from art_gym.agents.training.run import train
from art_gym.common.files import write_text
from art_gym.evaluation.heldout import VALIDATION, VALIDATION_NOISES
from art_gym.evaluation.references import reference_on
from art_gym.tasks.references import find_reference, score
from art_gym.tasks.target import Target

RESULTS = Path(__file__).parent / "results"
GOOD = 0.95  # the score that agents are to reach
IDS = {
    "gaussian_1d": "ARTDiffusion-Gaussian1D-v0",
    "mixture_1d": "ARTDiffusion-Mixture1D-v0",
    "ring_2d": "ARTDiffusion-Ring2D-v0",
    "checkerboard_2d": "ARTDiffusion-Checkerboard2D-v0",
    "digits": "ARTDiffusion-Digits-v0",
}


@dataclass(frozen=True)
class Learning:
    """Run the missing trainings and print the table.

    Attributes:
        algo: ppo, sac, cma or gradient.
        tasks, solvers, steps, seeds: the matrix.
        action: the action map.
        table_only: run nothing.
    """

    algo: str = "ppo"
    tasks: tuple[str, ...] = tuple(IDS)
    solvers: tuple[str, ...] = ("dpmpp_2m", "euler")
    steps: tuple[int, ...] = (5, 7, 10)
    seeds: tuple[int, ...] = (0, 1, 2)
    action: str = "fraction"
    search: bool = True
    table_only: bool = False

    @property
    def file(self) -> Path:
        """The file of the results."""
        return RESULTS / ("learning.jsonl" if self.search else "learning_without_warm_start.jsonl")


def records(file: Path) -> list[dict]:
    """All results so far."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def run_one(algo: str, task: str, solver: str, num_steps: int, action: str, seed: int, search: bool) -> dict:
    """Train once and evaluate on held-out noise."""
    env = {"solver": solver, "num_steps": num_steps, "action": action}
    # SAC's recipe for Ring2D is short, because a search precedes it. Without one it is as long as for other tasks.
    without = {"warm_start": 0, **({"n_timesteps": "10000K"} if algo == "sac" else {})}
    config = TrainConfig(IDS[task], algo, seed, env, hyperparams={} if search else without)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        outcome = train(config, run, resume=False, progress=False)
        history = run.history()
    reference = reference_on(Target.of(task, solver), num_steps, VALIDATION_NOISES, VALIDATION)
    good = [point.seconds for point in history if (score(point.errors[num_steps], reference) or 0.0) >= GOOD]
    found = (outcome.as_policy or outcome.as_grid)[num_steps]
    return {
        "algo": algo,
        "task": task,
        "solver": solver,
        "num_steps": num_steps,
        "action": action,
        "seed": seed,
        "error": found.error,
        "grid_error": outcome.as_grid[num_steps].error,
        "sigmas": outcome.as_grid[num_steps].levels.tolist(),
        "seconds": outcome.seconds,
        "first_score": score(history[0].errors[num_steps], reference),  # of the warm start, if there is one
        "first_seconds": history[0].seconds,
        "seconds_to_good": min(good, default=None),  # until the score on validation noise first reached GOOD
        "cpu_seconds": time.process_time() - began,  # of the one core, including evaluations of progress
        "evaluations": outcome.evaluations,
        "version": art_gym.__version__,
    }


def table(algo: str, file: Path) -> str:
    """One line for each task, solver and K."""
    rows: dict[tuple[str, str, int, str], list[dict]] = {}
    for entry in records(file):
        if entry["algo"] == algo:
            rows.setdefault((entry["task"], entry["solver"], entry["num_steps"], entry["action"]), []).append(entry)
    lines = [
        f"| {algo}: task | solver | K | action | seeds | score (IQM, 95 %) | first score | error "
        f"| seconds to {GOOD:g} | seconds |",
        "|:---|:---|---:|:---|---:|---:|---:|---:|---:|---:|",
    ]
    for (task, solver, k, action), entries in sorted(rows.items()):
        scores = [score(entry["error"], find_reference(Target.of(task, solver), k)) for entry in entries]
        scored = [value for value in scores if value is not None]
        firsts = [entry["first_score"] for entry in entries if entry.get("first_score") is not None]
        lines.append(
            f"| {task} | {solver} | {k} | {action} | {len(entries)} | {interval(scored) if scored else '–'} "
            f"| {f'{np.mean(firsts):.2f}' if firsts else '–'} "
            f"| {np.mean([entry['error'] for entry in entries]):.4f} | {_to_good(entries)} "
            f"| {np.mean([entry['seconds'] for entry in entries]):.0f} |"
        )
    return "\n".join(lines)


def _to_good(entries: list[dict]) -> str:
    """The slowest seed's seconds to a good score, and how many seeds had none."""
    times = [entry.get("seconds_to_good", 0.0) for entry in entries]
    if 0.0 in times:
        return "–"  # an old record does not have it
    reached = [time for time in times if time is not None]
    never = f" ({len(times) - len(reached)} never)" if len(reached) < len(times) else ""
    return f"{max(reached):.0f}{never}" if reached else "never"


def main(options: Learning) -> None:
    """Run and print."""
    keys = ("algo", "task", "solver", "num_steps", "action", "seed")
    done = {tuple(entry[key] for key in keys) for entry in records(options.file)}
    wanted = [
        (options.algo, task, solver, k, options.action, seed)
        for seed in options.seeds
        for task in options.tasks
        for solver in options.solvers
        for k in options.steps
    ]
    for combination in wanted:
        if options.table_only or combination in done:
            continue
        record = run_one(*combination, options.search)
        with options.file.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)
    found = table(options.algo, options.file)
    write_text(options.file.with_name(f"{options.file.stem}_{options.algo}.md"), f"{found}\n")
    print(found)


if __name__ == "__main__":
    main(tyro.cli(Learning))
