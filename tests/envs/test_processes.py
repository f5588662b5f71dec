"""Environments in separate processes, with every start method, on torch's default number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing, sys
import gymnasium as gym, numpy as np

METHOD = sys.argv[1]
EVERY = ["Mixture1D", "DigitsNet", "DigitsClass", "DigitsInpaint", "PhotosNet"]
LIMIT = 100  # seconds, of what takes one when it does not hang
KEYS = {"num_steps": 2, "population": 4}

def make(task):
    return gym.make(f"art_gym:ARTDiffusion-{task}-v0", **KEYS)

def play(task):
    env = make(task)
    observation = env.reset(seed=3)[0]
    return observation, env.step(np.zeros(1, np.float32))[0], env.step(np.zeros(1, np.float32))[1]

class Maker:
    def __init__(self, task):
        self.task = task

    def __call__(self):
        return make(self.task)

if __name__ == "__main__":
    import torch
    from stable_baselines3.common.vec_env import SubprocVecEnv

    torch.set_num_threads(2)  # as on two cores: the parent's network runs on several, which a fork does not copy
    expected = {task: play(task) for task in EVERY}
    with multiprocessing.get_context(METHOD).Pool(2) as pool:
        for task, found in zip(EVERY, pool.map_async(play, EVERY).get(LIMIT), strict=True):
            for mine, theirs in zip(expected[task], found, strict=True):
                np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5)
    for task in EVERY if METHOD == "fork" else ["PhotosNet"]:  # others import torch in each process, for seconds
        lanes = gym.make_vec(f"art_gym:ARTDiffusion-{task}-v0", 2, "async", {"context": METHOD}, **KEYS)
        lanes.reset_async(seed=[3, 3])
        observation, _ = lanes.reset_wait(timeout=LIMIT)
        np.testing.assert_allclose(observation[1], expected[task][0], rtol=1e-4, atol=1e-5)
        lanes.step_async(np.zeros((2, 1), np.float32))
        np.testing.assert_allclose(lanes.step_wait(timeout=LIMIT)[0][0], expected[task][1], rtol=1e-4, atol=1e-5)
        lanes.close(terminate=True)
        both = SubprocVecEnv([Maker(task)] * 2, start_method=METHOD)
        both.seed(3)
        np.testing.assert_allclose(both.reset()[0], expected[task][0], rtol=1e-4, atol=1e-5)
        both.step(np.zeros((2, 1), np.float32))
        both.close()
    print("played")
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_play_what_their_parent_plays(method: str, tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    command = [sys.executable, str(file), method]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=250)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "played\n"
