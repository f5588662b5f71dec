"""The demo compares an agent for a range of budgets on the default environment with other schedules and samplers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from art_gym.common.files import write_text
from art_gym.common.isolation import isolated
from art_gym.evaluation.edm_curve import STEPS, EdmCurve, edm_errors
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.plans import Plan, draw
from art_gym.schedules.grids.base import edm_grid
from art_gym.search.base import SEARCHES
from art_gym.tasks.references import find_reference
from art_gym.tasks.target import Target

from ..reports.comparison import Row, baselines, label
from ..reports.method_pictures import image_rows
from ..reports.report import write_report
from ..runs.config import TABLE_BUDGETS, TrainConfig
from ..runs.folder import Run
from ..runs.outcome import Outcome
from ..training.run import train
from .beside import Beside, Task, one_thread

ENV_ID, SAMPLER_ID = "ARTDiffusion-v0", "ARTDiffusion-Sampler-v0"
TASK, SOLVER = "digits", "dpmpp_2m"  # those of the default environment
BUDGETS = (TABLE_BUDGETS[0], TABLE_BUDGETS[-1])
EPISODES = 16_000
LANES, POPULATION = 32, 16  # half the evaluations of 16 lanes of 64, for as good a score
EDM_PARTS = range(33, 52), range(21, 33), range(21)  # pieces of EDM's curve to share, as far as the report needs it
SAMPLER = "defect, sampler"
SAMPLER_EVALUATIONS = 1_000_000  # for each K
PICTURED, PICTURED_STEPS, PICTURED_NOISES = "mnist", 5, 16  # what the picture of samples shows
PICTURE = "samples.png"
QUICK = 20  # --quick trains this many times less


@isolated()
def demo(out: Path, seed: int, quick: bool) -> str:
    """Train, compare and draw. Returns the report, and replaces an earlier demo in the folder.

    One process trains the agent while another starts on the comparisons. Then both share the rest, on two cores.

    Raises:
        ValueError: if the folder holds another run.
    """
    if (out / "config.yaml").exists():
        before = Run(out).config()
        if before not in (_agent(before.seed, True), _agent(before.seed, False)):
            raise ValueError(f"{out} holds a run that is no demo: remove it, or name another folder with --out")
        shutil.rmtree(out)
    with one_thread():
        return _demo(out, seed, quick)


def _demo(out: Path, seed: int, quick: bool) -> str:
    beside = Beside(_tasks(out, seed, quick))
    with beside.working():
        outcome = train(_agent(seed, quick), Run(out), resume=False, progress=True)
        done = beside.join_in("comparing with rivals and hand-made grids")
    # The order must not depend on which process did what.
    rivals = sorted(
        (each for each in done if isinstance(each, Outcome)), key=lambda each: [*SEARCHES, SAMPLER].index(each.method)
    )
    rows = sorted((row for each in done if isinstance(each, list) for row in each), key=lambda row: row.num_steps)
    known = {k: error for each in done if isinstance(each, dict) for k, error in each.items()}
    target = Target.of(TASK, SOLVER)
    text = write_report(out, target, outcome, rivals, rows, Run(out).history(), EdmCurve(target, known=known))
    said = f"MNIST in {PICTURED_STEPS} calls, with the best grid and the best sampler that are known:"
    text = text.replace(f"![samples]({PICTURE})", f"\n{said}\n\n![samples]({PICTURE})\n")
    write_text(out / "report.md", text)
    draw_mnist(out / PICTURE)
    return text


def draw_mnist(file: Path) -> None:
    """Draw digits of the same noises in 5 calls, by EDM's grid, the best grid and the best sampler, and exactly."""
    target = Target.of(PICTURED, SOLVER)
    best = find_reference(target, PICTURED_STEPS), find_reference(replace(target, freedom=Freedom()), PICTURED_STEPS)
    plans: dict[str, Plan] = {label("edm"): edm_grid(PICTURED_STEPS, target.denoiser)}
    plans |= {name: known.oracle for name, known in zip(("best grid", "learned sampler"), best, strict=True) if known}
    start, endpoints = target.noises("heldout", PICTURED_NOISES)
    drawn = {name: draw(target.denoiser, plan, start, target.solver) for name, plan in plans.items()}
    image_rows(file, {f"{PICTURED_STEPS} calls": {**drawn, "exact": endpoints}})


def _tasks(out: Path, seed: int, quick: bool) -> list[Task]:
    """All tasks but the agent's training: searches, the rows of the other grids by K, and EDM's curve in parts."""
    tasks: list[Task] = []
    for algo in SEARCHES:
        config = TrainConfig(ENV_ID, algo, seed, {"num_steps": list(BUDGETS)}, n_timesteps=200 if quick else None)
        tasks.append(partial(train, config, Run(out / algo), resume=False, progress=False))
    tasks.append(partial(_sampler, out, seed, quick))
    tasks += [partial(_baselines, k) for k in reversed(TABLE_BUDGETS)]  # the longest first
    if not quick:
        tasks += [partial(edm_errors, TASK, SOLVER, [k for k in STEPS if k in part]) for part in EDM_PARTS]
    return tasks


def _sampler(out: Path, seed: int, quick: bool) -> Outcome:
    """A search for all of a step, not only its size."""
    evaluations = SAMPLER_EVALUATIONS // (QUICK if quick else 1)
    config = TrainConfig(SAMPLER_ID, "defect", seed, {"num_steps": list(BUDGETS)}, n_timesteps=evaluations)
    return replace(train(config, Run(out / "sampler"), resume=False, progress=False), method=SAMPLER)


def _baselines(num_steps: int) -> list[Row]:
    return baselines(Target.of(TASK, SOLVER), [num_steps])


def _agent(seed: int, quick: bool) -> TrainConfig:
    steps = (EPISODES // QUICK if quick else EPISODES) * sum(BUDGETS) // 2
    env = {"num_steps": list(BUDGETS), "population": POPULATION}
    return TrainConfig(ENV_ID, "ppo", seed, env, hyperparams={"num_envs": LANES}, n_timesteps=steps)
