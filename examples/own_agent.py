# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Your agent on an environment, scored
#
# You have your own agent. This tutorial trains one, evaluates it on the fixed held-out noises, and gives its score.

# %%
import gymnasium as gym
import numpy as np

from art_gym.envs.config import load_config
from art_gym.evaluation.heldout import evaluate_plan, evaluate_policy
from art_gym.schedules import make_grid
from art_gym.tasks.references import find_reference, score

TASK = {"task": "mixture_1d", "solver": "euler", "num_steps": 5}

# %% [markdown]
# ## 1. An agent
#
# Ours is very simple. It keeps one action for each step, tries others around them, and moves towards the best (the
# cross-entropy method). An environment steers 64 latents, and 32 environments run at once.

# %%
envs = gym.make_vec("ARTDiffusion-Mixture1D-v0", num_envs=32, **TASK)
rng = np.random.default_rng(0)
mean, deviation = np.zeros(5), 0.5 * np.ones(5)
for generation in range(40):
    envs.reset(seed=1000 * generation)
    actions = np.clip(mean + deviation * rng.standard_normal((32, 5)), -1, 1)
    for step in range(5):
        _, reward, *_ = envs.step(actions[:, step, None].astype(np.float32))
    best = actions[np.argsort(reward)[-8:]]  # the reward comes with the last step
    mean, deviation = best.mean(axis=0), best.std(axis=0) + 0.01
print("actions:", mean.round(2))

# %% [markdown]
# ## 2. Evaluate
#
# A policy is a function from observations to actions. `evaluate_policy` plays it on 2048 held-out noises, which no
# environment trains on. The first number of an observation is the share of steps taken.

# %%
config = load_config("mixture_1d", **TASK)


def policy(observation: np.ndarray) -> np.ndarray:
    """The action for the current step of each environment."""
    step = np.round(observation[:, 0] * 5).astype(int)
    return mean[step, None]


found = evaluate_policy(policy, config, 5)
print(f"error {found.error:.4f} ± {found.error_interval:.4f} with levels {found.levels.round(3)}")

# %% [markdown]
# ## 3. Score
#
# 0 is EDM's grid and 1 is the best known fixed grid. Compare your score with two others: an agent that learned nothing,
# and a hand-made grid.

# %%
target = config.target()
reference = find_reference(target, 5)
nothing = evaluate_policy(lambda observation: np.zeros((len(observation), 1)), config, 5)
arctan = evaluate_plan(target, make_grid("arctan", 5, target.denoiser))
for name, each in {"action 0": nothing, "arctan grid": arctan, "this agent": found}.items():
    print(f"{name:12} {score(each.error, reference):5.2f}")
