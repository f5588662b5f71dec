"""Parts of other distributions, one of each kind, from a package made for this test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

GROUPS = {  # names by group of entry points, each in the module of the first
    "art_gym.tasks": "one_gaussian",
    "art_gym.solvers": "half_euler",
    "art_gym.schedules.grids": "cubic",
    "art_gym.schedules.fitted": "by_spread",
    "art_gym.envs.rewards": "landing landing_twice",
    "art_gym.envs.actions": "halving",
    "art_gym.search": "luck",
    "art_gym.agents.algorithms": "slow_ppo",
}
MODULES = {
    "one_gaussian": """
from art_gym import FunctionDenoiser
from art_gym.tasks import task

@task
def one_gaussian(spread: float = 1.0):
    return FunctionDenoiser(lambda x, sigma: x * spread / (spread + sigma[:, None] ** 2), (1,), data_std=spread)
""",
    "half_euler": """
from art_gym.solvers import solver
from art_gym.solvers.base import per_sample

@solver(order=1, calls_per_step=1)
def half_euler(denoise, x, denoised, sigma, sigma_next, previous):
    ratio = per_sample(sigma_next / sigma, x)
    return ratio * x + (1 - ratio) * denoised
""",
    "cubic": """
from art_gym.schedules.grids import grid

@grid("cubic", shape=3.0, reaches_zero=True)
def cubic(u, high, low, power):
    return high * (1 - u) ** power
""",
    "by_spread": """
import numpy as np
from art_gym.schedules.fitted import fitted

@fitted("by_spread")
def by_spread(denoiser, num_steps, start):
    return np.append(np.geomspace(start.std(), denoiser.data_std, num_steps), 0.0)
""",
    "landing": """
from dataclasses import dataclass
from art_gym.envs.rewards import reward

@reward(landing={}, landing_twice={"worth": 2.0})
@dataclass(frozen=True)
class Landing:
    worth: float = 1.0

    def __call__(self, transition, problem):
        return self.worth * transition.landed, {}
""",
    "halving": """
from dataclasses import dataclass
from art_gym.envs.actions import action_map

@action_map(halving={})
@dataclass(frozen=True)
class Halving:
    base: float = 2.0

    def __call__(self, action, sigma, step, num_steps, denoiser):
        return sigma / self.base
""",
    "luck": """
import numpy as np
from art_gym.search.base import Candidate, search

@search("luck")
def luck(sought):
    rng = np.random.default_rng(sought.seed)
    low, high = sought.denoiser.sigma_min, sought.denoiser.sigma_max
    for episode in range(1, 4):
        inner = np.sort(np.exp(rng.uniform(np.log(low), np.log(high), sought.num_steps - 1)))[::-1]
        yield Candidate(episode, np.array([high, *inner, 0.0]))
""",
    "slow_ppo": """
from stable_baselines3 import PPO
from art_gym.agents.algorithms.base import algorithm

@algorithm("slow_ppo", recipe={"num_envs": 2, "n_timesteps": "8K", "policy": "MlpPolicy", "n_steps": "2K", "batch_size": 12})
class SlowPPO(PPO):
    pass
""",
}
USE = """
import gymnasium as gym, numpy as np
import art_gym
from art_gym.agents.cli.main import main

env = gym.make("ARTDiffusion-OneGaussian-v0", solver="half_euler", reward="landing_twice", action="halving", num_steps=3)
env.reset(seed=0)
rewards = [env.step(np.zeros(1, np.float32))[1] for _ in range(3)]
assert rewards == [0.0, 0.0, 2.0], rewards
assert env.unwrapped.config.task == "one_gaussian"
assert gym.make("ARTDiffusion-v0", task="one_gaussian?spread=2").unwrapped.core.problem.denoiser.data_std == 2
assert gym.make("ARTDiffusion-v0", reward="landing?worth=3").unwrapped.config.reward == "landing?worth=3"
assert main(["list"]) == 0
common = ["--env", "ARTDiffusion-OneGaussian-v0", "--solver", "half_euler", "--num-steps", "3", "--no-progress"]
assert main(["train", *common, "--algo", "luck", "--out", "luck"]) == 0
assert main(["train", *common, "--algo", "slow_ppo", "--out", "agent"]) == 0
assert main(["evaluate", "cubic:3", "by_spread:3", "luck/schedule_K3.json", "--noises", "64"]) == 0
assert main(["references", "--tasks", "one_gaussian", "--solvers", "half_euler", "--steps", "2", "--file", "r.json"]) == 0
print("used them all")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with an installed distribution, one module per part, and nothing else."""
    folder = tmp_path / "site"
    info = folder / "my_parts-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-parts\nVersion: 1.0\n")
    lines = []
    for group, names in GROUPS.items():
        lines += [f"[{group}]", *(f"{name} = my_{names.split()[0]}" for name in names.split())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for name, code in MODULES.items():
        (folder / f"my_{name}.py").write_text(code)
    return folder


def run(code: str, package: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=folder
    )


@pytest.mark.slow
def test_a_part_of_each_kind_is_found_and_used(package: Path, tmp_path: Path) -> None:
    done = run(USE, package, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("used them all\n")
    listed = done.stdout.partition("\n# ")[0]
    assert "ARTDiffusion-OneGaussian-v0" in listed
    assert all(name in listed for names in GROUPS.values() for name in names.split())


def test_nothing_of_another_distribution_is_imported_before_it_is_used(package: Path, tmp_path: Path) -> None:
    (package / "my_one_gaussian.py").write_text("raise RuntimeError('broken')")
    code = (
        "import gymnasium as gym, art_gym, sys\n"
        "gym.make('ARTDiffusion-Gaussian1D-v0').reset(seed=0)\n"
        "assert 'ARTDiffusion-OneGaussian-v0' in gym.registry and not [m for m in sys.modules if m.startswith('my_')]\n"
        "try: gym.make('ARTDiffusion-OneGaussian-v0')\n"
        "except ValueError as error: print(error)"
    )
    done = run(code, package, tmp_path)
    assert "the task 'one_gaussian' of my_one_gaussian cannot be loaded: broken" in done.stdout, done.stderr


def test_a_module_that_registers_something_else_is_named(package: Path, tmp_path: Path) -> None:
    (package / "my_half_euler.py").write_text("")
    code = "import art_gym.solvers\ntry: art_gym.solvers.get_solver('half_euler')\nexcept ValueError as error: print(error)"
    done = run(code, package, tmp_path)
    assert "my_half_euler declares it as the solver 'half_euler', but it registers no such name" in done.stdout
