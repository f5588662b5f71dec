"""Benchmarks a new algorithm with nothing of ours but the environment. Then: art-gym benchmark submit-check FILE."""

import json
from pathlib import Path
from time import process_time

import gymnasium as gym
import numpy as np

PLAYED, CELL = 40 * 32, {"task": "ring_2d", "solver": "euler", "num_steps": 5}  # episodes, each of 64 noises
Path("runs").mkdir(exist_ok=True)
for seed, first in enumerate((0, 4096)):  # of suite v1: the first held-out noise of each seed
    began, rng, mean = process_time(), np.random.default_rng(seed), np.zeros(5)
    envs = gym.make_vec("art_gym:ARTDiffusion-v0", num_envs=32, **CELL)
    for generation in range(40):  # the new algorithm: the mean of the best of some disturbed actions
        envs.reset(seed=1000 * (seed + 1) + generation)
        tried = np.clip(mean + 0.9**generation * rng.standard_normal((32, 5)), -1, 1).astype(np.float32)
        rewards = [envs.step(actions[:, None])[1] for actions in tried.T]
        mean = tried[np.argsort(rewards[-1])[-8:]].mean(axis=0)
    test = gym.make("art_gym:ARTDiffusion-v0", **CELL, population=2048, noises=first + 2048, split="heldout")
    test.reset(options={"noise": np.arange(first, first + 2048)})
    error = [test.step(np.array([action], np.float32))[4] for action in mean][-1]["error"]
    name = {"suite": "v1", "algorithm": "my_cem", "kind": "RL", "actions": "grid", **CELL, "seed": seed}
    code = {"commit": "1", "hyperparameters": "1"}  # put yours here
    # Beside 64 calls for each step played, each of 4096 training noises took 381 for its precise endpoint.
    cost = {"steps": PLAYED * 5, "calls": PLAYED * 5 * 64 + 4096 * 381, "seconds": process_time() - began}
    with open("runs/mine.jsonl", "a" if seed else "w") as file:
        file.write(json.dumps({**name, **code, **cost, "error": float(error)}) + "\n")
    print(f"seed {seed}: error {error:.4f}")
