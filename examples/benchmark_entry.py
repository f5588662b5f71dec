"""Benchmarks a new algorithm with nothing of ours but the environment. Then: art-gym benchmark submit-check FILE."""

import json
import time
from itertools import product
from pathlib import Path

import gymnasium as gym
import numpy as np

import art_gym  # noqa: F401 registers the environments

FIRSTS = (0, 4096)  # of suite v1: the first held-out noise of each seed
Path("runs").mkdir(exist_ok=True)
with open("runs/mine.jsonl", "w") as file:
    for steps, (seed, first) in product((5, 7, 10), enumerate(FIRSTS)):
        began, rng, mean = time.process_time(), np.random.default_rng(seed), np.zeros(steps)
        where = {"task": "ring_2d", "solver": "euler", "num_steps": steps}
        envs = gym.make_vec("ARTDiffusion-v0", num_envs=32, **where)
        for generation in range(40):  # the new algorithm: the mean of the best of some disturbed actions
            envs.reset(seed=1000 * (seed + 1) + generation)
            tried = np.clip(mean + 0.9**generation * rng.standard_normal((32, steps)), -1, 1).astype(np.float32)
            for actions in tried.T:
                _, reward, *_ = envs.step(actions[:, None])
            mean = tried[np.argsort(reward)[-8:]].mean(axis=0)
        test = gym.make("ARTDiffusion-v0", **where, population=2048, noises=first + 2048, split="heldout")
        test.reset(options={"noise": np.arange(first, first + 2048)})
        for action in mean:
            *_, info = test.step(np.array([action], np.float32))
        played = 40 * 32 * steps  # with 64 latents; each of 4096 training noises took 381 calls
        cost = {"steps": played, "calls": 64 * played + 4096 * 381, "seconds": time.process_time() - began}
        name = {"suite": "v1", "algorithm": "my_cem", "kind": "RL", "actions": "grid", "seed": seed, **where}
        line = {**name, "commit": "1", "hyperparameters": "1", "error": float(info["error"]), **cost}
        file.write(json.dumps(line) + "\n")
        print(f"K = {steps}, seed {seed}: error {info['error']:.4f}, EDM's grid {info['error_reference']:.4f}")
