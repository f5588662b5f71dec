"""Learning in one file, as in CleanRL: REINFORCE with a baseline on ``gym.make_vec``, with numpy and torch only."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch

import art_gym  # noqa: F401 registers the environments

LANES, STEPS, UPDATES = 64, 5, 150

torch.manual_seed(0)
envs = gym.make_vec(
    "ARTDiffusion-Mixture1D-v0",
    num_envs=LANES,
    num_steps=STEPS,
    observation=("time",),
    autoreset_mode="SameStep",  # an episode is exactly STEPS steps of every lane
)
features = envs.single_observation_space.shape[0]
mean = torch.nn.Sequential(torch.nn.Linear(features, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
log_std = torch.nn.Parameter(torch.tensor(-1.0))
optimizer = torch.optim.Adam([*mean.parameters(), log_std], lr=1e-2)

observation, _ = envs.reset(seed=0)
history = []
for _ in range(UPDATES):
    log_probability = torch.zeros(LANES)
    episode_return = np.zeros(LANES)
    for _ in range(STEPS):
        policy = torch.distributions.Normal(mean(torch.from_numpy(observation))[:, 0], log_std.exp())
        action = policy.sample()
        log_probability = log_probability + policy.log_prob(action)
        observation, reward, _, _, _ = envs.step(action.numpy()[:, None].clip(-1, 1))
        episode_return += reward
    advantage = torch.from_numpy((episode_return - episode_return.mean()) / (episode_return.std() + 1e-8))
    optimizer.zero_grad()
    (-(advantage * log_probability).mean()).backward()
    optimizer.step()
    history.append(episode_return.mean())
print(f"log(error of EDM / error): {np.mean(history[:5]):.2f} at first, {np.mean(history[-5:]):.2f} in the end")
