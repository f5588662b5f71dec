"""RLlib's PPO on the environment: some iterations, and the return of an episode before and after."""

from __future__ import annotations

import sys

try:
    from ray.rllib.algorithms.ppo import PPOConfig
except ImportError:
    print("RLlib is not installed: pip install 'ray[rllib]'")
    sys.exit(0)

# "art_gym:" makes each worker import art_gym, which registers the environments.
config = (
    PPOConfig()
    .environment("art_gym:ARTDiffusion-Mixture1D-v0", env_config={"solver": "euler", "num_steps": 7})
    .env_runners(num_env_runners=0, num_envs_per_env_runner=8)
    .training(gamma=1.0, lambda_=1.0, lr=1e-3, train_batch_size=8 * 28, minibatch_size=8 * 28, num_epochs=10)
)
algorithm = config.build_algo()
returns = [algorithm.train()["env_runners"]["episode_return_mean"] for _ in range(30)]
print(f"mean return: {returns[0]:.2f} at first, {returns[-1]:.2f} after {len(returns)} iterations")
algorithm.stop()
