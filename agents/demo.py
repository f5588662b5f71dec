"""The demo: an agent for a range of budgets on the default environment, beside its rivals and every other schedule."""

from __future__ import annotations

import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from .comparison import Row, baselines
from .outcome import Outcome
from .pipeline import learn
from .report import write_report
from .rivals import RIVALS
from .runs import TABLE_BUDGETS, Run, TrainConfig

TASK, SOLVER = "digits", "dpmpp_2m"  # of ARTDiffusion-v0
BUDGETS = (TABLE_BUDGETS[0], TABLE_BUDGETS[-1])
QUICK = 20  # by this much less training with --quick


def demo(out: Path, seed: int, quick: bool) -> str:
    """Train, compare and draw; returns the report.

    One process trains the agent while another runs the rivals and the comparison: the demo is made for two cores.
    """
    if (out / "config.yaml").exists():
        shutil.rmtree(out)
    episodes = 20_000 // QUICK if quick else 20_000
    agent = TrainConfig(
        "ARTDiffusion-v0", "ppo", seed, env={"num_steps": list(BUDGETS)}, n_timesteps=episodes * sum(BUDGETS) // 2
    )
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        rivals = [pool.submit(_rival, algo, seed, out / algo, quick) for algo in RIVALS]
        table = pool.submit(_baselines)
        outcome = learn(agent, Run(out), resume=False, progress=True)
        with tqdm(total=3, desc="rivals and comparison") as bar:
            found = []
            for future in rivals:
                found.append(future.result())
                bar.update()
            rows = table.result()
            bar.update()
    return write_report(out, outcome, found, rows, Run(out).history())


def _rival(algo: str, seed: int, folder: Path, quick: bool) -> Outcome:
    config = TrainConfig(
        "ARTDiffusion-v0", algo, seed, env={"num_steps": list(BUDGETS)}, n_timesteps=200 if quick else None
    )
    return learn(config, Run(folder), resume=False, progress=False)


def _baselines() -> list[Row]:
    return baselines(TASK, SOLVER, TABLE_BUDGETS)
