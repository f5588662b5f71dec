"""The demo: an agent for a range of budgets on the default environment, beside its rivals and every other schedule."""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from .outcome import Outcome
from .pipeline import baselines_with_progress, learn
from .report import write_report
from .runs import RIVALS, TABLE_BUDGETS, Run, TrainConfig

ENV_ID = "ARTDiffusion-v0"
TASK, SOLVER = "digits", "dpmpp_2m"  # its own
BUDGETS = (TABLE_BUDGETS[0], TABLE_BUDGETS[-1])
EPISODES = 16_000
QUICK = 20  # by this much less training with --quick


def demo(out: Path, seed: int, quick: bool) -> str:
    """Train, compare and draw; returns the report. An earlier demo in the folder is replaced.

    One process trains the agent and makes the comparison while another runs the rivals: the demo is made for two cores.

    Raises:
        ValueError: if the folder holds another run.
    """
    if (out / "config.yaml").exists():
        before = Run(out).config()
        if before not in (_agent(before.seed, True), _agent(before.seed, False)):
            raise ValueError(f"{out} holds a run that is no demo: name another folder with --out")
        shutil.rmtree(out)
    agent = _agent(seed, quick)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        steps = 200 if quick else None
        rivals = [pool.submit(_rival, replace(agent, algo=algo, n_timesteps=steps), out / algo) for algo in RIVALS]
        outcome = learn(agent, Run(out), resume=False, progress=True)
        rows = baselines_with_progress(TASK, SOLVER, list(TABLE_BUDGETS), progress=True)
        found = [future.result() for future in tqdm(rivals, desc="rivals")]
    return write_report(out, outcome, found, rows, Run(out).history())


def _agent(seed: int, quick: bool) -> TrainConfig:
    steps = (EPISODES // QUICK if quick else EPISODES) * sum(BUDGETS) // 2
    return TrainConfig(ENV_ID, "ppo", seed, {"num_steps": list(BUDGETS)}, n_timesteps=steps)


def _rival(config: TrainConfig, folder: Path) -> Outcome:
    return learn(config, Run(folder), resume=False, progress=False)
