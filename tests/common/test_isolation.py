"""We leave the state of the process as it was: random streams, threads, precision, filters of warnings."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_gym.common.isolation import isolated

# Other libraries may change state on import. Our code must not, even the first time in a fresh process.
FRESH = """
import importlib, pkgutil, random, sys, warnings
import numpy as np, torch, gymnasium as gym
import stable_baselines3, sb3_contrib, diffusers, matplotlib.pyplot, torch.utils.tensorboard, tyro, cma

def state():
    return (random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist(), torch.get_num_threads(),
            torch.get_num_interop_threads(), torch.get_default_dtype(), list(warnings.filters), np.geterr(),
            torch.is_grad_enabled())

names = ("random", "numpy", "torch", "threads", "interop threads", "dtype", "filters", "numpy's errors", "gradients")
before = state()

def same(what):
    changed = [name for name, old, new in zip(names, before, state(), strict=True) if old != new]
    assert not changed, f"{what} changes {changed}"

import art_gym
for module in pkgutil.walk_packages(art_gym.__path__, "art_gym."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        same(module.name)
"""
REGISTRY = """
from art_gym.evaluation.heldout import evaluate_plan, evaluate_policy
from art_gym.schedules.grids import edm_grid
for name in [name for name in gym.registry if name.startswith("ARTDiffusion")]:
    env = gym.make(name, num_steps=2, population=2)
    same(f"gym.make of {name}")
    env.reset(seed=0)
    same(f"reset of {name}")
    env.step(env.action_space.sample())
    same(f"step of {name}")
    lanes = gym.make_vec(name, num_envs=2, num_steps=2, population=1)
    lanes.reset(seed=0)
    lanes.step(lanes.action_space.sample())
    same(f"the vector environment of {name}")
    config = env.unwrapped.config
    target = config.target()
    evaluate_plan(target, edm_grid(2, target.denoiser), 8)
    evaluate_policy(lambda seen: np.zeros((len(seen), *env.action_space.shape)), config, 2, 8)
    same(f"evaluation of {name}")
"""


def run(code: str) -> None:
    """In a fresh interpreter, where torch chooses its own number of threads."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_imports_and_environments_leave_a_process_as_it_was() -> None:
    run(FRESH + REGISTRY)


@pytest.mark.parametrize(
    "code",
    [
        """
from art_gym.agents.training.run import train
from art_gym.agents.runs import Run, TrainConfig
from art_gym.agents.training import load_policy
for algo in ("ppo", "sac", "art_rl", "cma", "gradient", "defect"):
    env = {"num_steps": 3} if algo == "art_rl" else {"num_steps": 3, "noises": 256}
    run = Run(f"{folder}/{algo}")
    train(TrainConfig("gaussian_1d", algo, 0, env, n_timesteps=4096 if algo == "art_rl" else 300), run, False, False)
    same(f"training by {algo}")
load_policy(f"{folder}/ppo", 3)
same("loading a policy")
""",
        """
from pathlib import Path
from art_gym.tasks.registry import get_task
from art_gym.agents.learn.budget import Budget
from art_gym.agents.learn.learner import Learner
for agent in (None, "ppo"):
    out = Path(folder) / f"{agent}.json"
    Learner(get_task("gaussian_1d"), "gaussian_1d", 3, "euler", Budget(evaluations=2e5), out, 0, False, agent).run()
    same(f"learn with the agent {agent}")
""",
        """
from pathlib import Path
from art_gym.agents.training.classifiers import train_classifier
from art_gym.agents.training.networks import train_denoiser
train_classifier("digits", Path(folder) / "a.safetensors", 0, 1)
train_denoiser("digits", Path(folder) / "b.safetensors", 0, False, False, 1)
same("training a network")
""",
    ],
    ids=["train", "learn", "train-denoiser"],
)
@pytest.mark.slow
def test_learning_leaves_a_process_as_it_was(code: str, tmp_path: Path) -> None:
    run(f"folder = {str(tmp_path)!r}\n{FRESH}{code}")


def test_isolated_gives_everything_back_whatever_happens() -> None:
    def state() -> tuple[Any, ...]:
        numbers = repr(np.random.get_state())  # noqa: NPY002
        streams = random.getstate(), numbers, torch.get_rng_state().tolist()
        return *streams, torch.get_num_threads(), torch.get_default_dtype(), list(warnings.filters)

    @isolated()
    def meddle() -> None:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_default_dtype(torch.float64)
        warnings.simplefilter("ignore")
        assert all(a != b for a, b in zip(state(), before, strict=True))
        raise ZeroDivisionError

    before = state()
    with pytest.raises(ZeroDivisionError):
        meddle()
    assert state() == before


@pytest.mark.slow
def test_the_order_of_seeding_and_making_does_not_matter() -> None:
    """CleanRL seeds torch, makes its environments and then its agent."""
    weights = []
    for first in ("torch.manual_seed(3); env = make()", "env = make(); torch.manual_seed(3)"):
        code = (
            "import gymnasium, torch\n"
            "def make(): return gymnasium.make('art_gym:ARTDiffusion-DigitsNet-v0')\n"
            f"{first}; print(torch.rand(3).tolist())"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        weights.append(result.stdout)
    assert weights[0] == weights[1]
