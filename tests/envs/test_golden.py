"""Golden rollouts. A change of reward, dynamics or observation must bump ``-v0``.

``golden.json`` holds rewards and observation checksums of one fixed episode per task. After an intended change, and
with the version bumped, write it anew with ``python tests/test_golden.py`` and say so in the changelog.
"""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import art_gym

FILE = Path(__file__).with_name("golden.json")
IDS = sorted(name for name in gym.registry if name.startswith("ARTDiffusion"))
SEED = 2607
VARIANTS = {
    "default": {},
    "telescoping": {"reward": "path", "solver": "heun", "num_steps": (3, 9), "population": 4, "action": "deviation"},
}


def rollout(env_id: str, variant: str) -> dict[str, list[float]]:
    """Rewards, levels and a checksum of every observation of one episode with fixed actions."""
    env = gym.make(env_id, **VARIANTS[variant])
    observation, _ = env.reset(seed=SEED)
    rewards, levels, ended = [], [], False
    checksums = [checksum(observation)]
    while not ended:
        turned = 1 + 2 * len(rewards) + np.arange(env.action_space.shape[0])  # (A,)
        action = (0.8 * np.sin(turned)).astype(np.float32)
        observation, reward, ended, _, info = env.step(action)
        rewards.append(round(reward, 6))
        levels.append(round(info["sigma_next"], 6))
        checksums.append(checksum(observation))
    return {"rewards": rewards, "levels": levels, "checksums": checksums}


def checksum(observation: np.ndarray) -> float:
    """One number to which every element contributes."""
    return round(float(observation @ (1 + np.arange(len(observation)) / 10)), 6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("env_id", IDS)
def test_golden_rollout(env_id: str, variant: str) -> None:
    expected = json.loads(FILE.read_text())[env_id][variant]
    result = rollout(env_id, variant)
    for name, values in expected.items():
        np.testing.assert_allclose(result[name], values, rtol=1e-3, atol=1e-3, err_msg=f"{env_id} {variant} {name}")


def test_every_environment_has_a_golden_rollout() -> None:
    assert sorted(json.loads(FILE.read_text())) == IDS


if __name__ == "__main__":
    content = {env_id: {variant: rollout(env_id, variant) for variant in VARIANTS} for env_id in IDS}
    FILE.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {FILE} for art_gym {art_gym.__version__}")
