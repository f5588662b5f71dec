"""The demo: an agent for a range of budgets on the default environment, beside its rivals and every other schedule."""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from .comparison import baselines
from .outcome import Outcome
from .pipeline import learn
from .report import write_report
from .runs import RIVALS, TABLE_BUDGETS, Run, TrainConfig

ENV_ID = "ARTDiffusion-v0"
TASK, SOLVER = "digits", "dpmpp_2m"  # its own
BUDGETS = (TABLE_BUDGETS[0], TABLE_BUDGETS[-1])
EPISODES = 16_000
LANES = POPULATION = 32  # half the evaluations of the usual 16 of 64 in as many episodes, for a score as good
QUICK = 20  # by this much less training with --quick


def demo(out: Path, seed: int, quick: bool) -> str:
    """Train, compare and draw; returns the report. An earlier demo in the folder is replaced.

    One process trains the agent while another runs the rivals, then both make the comparison: it is made for two cores.

    Raises:
        ValueError: if the folder holds another run.
    """
    if (out / "config.yaml").exists():
        before = Run(out).config()
        if before not in (_agent(before.seed, True), _agent(before.seed, False)):
            raise ValueError(f"{out} holds a run that is no demo: remove it, or name another folder with --out")
        shutil.rmtree(out)
    agent = _agent(seed, quick)
    env = {"num_steps": list(BUDGETS)}
    _compute_on_one_thread()
    with ProcessPoolExecutor(1, get_context("spawn"), _compute_on_one_thread) as pool:
        rivals = []
        for algo in RIVALS:
            config = TrainConfig(ENV_ID, algo, seed, env, n_timesteps=200 if quick else None)
            rivals.append(pool.submit(_rival, config, out / algo))
        # The other process begins with these once it has nothing else to do, and this one takes over from the end.
        compared = {k: pool.submit(baselines, TASK, SOLVER, [k]) for k in TABLE_BUDGETS}
        outcome = learn(agent, Run(out), resume=False, progress=True)
        rows = []
        for k in tqdm(TABLE_BUDGETS[::-1], desc="comparing"):
            rows += baselines(TASK, SOLVER, [k]) if compared[k].cancel() else compared[k].result()
        found = [future.result() for future in tqdm(rivals, desc="rivals")]
    return write_report(out, outcome, found, rows, Run(out).history())


def _compute_on_one_thread() -> None:
    """In either process: on two cores, more threads than two only wait for each other."""
    torch.set_num_threads(1)
    threadpool_limits(1, "blas")


def _agent(seed: int, quick: bool) -> TrainConfig:
    steps = (EPISODES // QUICK if quick else EPISODES) * sum(BUDGETS) // 2
    env = {"num_steps": list(BUDGETS), "population": POPULATION}
    return TrainConfig(ENV_ID, "ppo", seed, env, hyperparams={"num_envs": LANES}, n_timesteps=steps)


def _rival(config: TrainConfig, folder: Path) -> Outcome:
    return learn(config, Run(folder), resume=False, progress=False)
