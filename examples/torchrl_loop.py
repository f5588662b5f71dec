"""TorchRL's GymEnv around the environment: its checks, and a random rollout."""

from __future__ import annotations

import sys

try:
    from torchrl.envs import GymEnv
    from torchrl.envs.utils import check_env_specs
except ImportError:
    print("torchrl is not installed: pip install torchrl")
    sys.exit(0)

import art_gym  # noqa: F401 registers the environments

env = GymEnv("ARTDiffusion-Ring2D-v0", num_steps=6)
check_env_specs(env)
rollout = env.rollout(20, break_when_any_done=False)
print("rewards:", [round(float(reward), 3) for reward in rollout["next", "reward"][:, 0]])
env.close()
