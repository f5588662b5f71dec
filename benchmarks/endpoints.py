"""Makes art_gym/data/endpoints.npz with precise endpoints of tasks' noises, so that a first reset need not wait.

It covers all noises of the exact tasks, which would take two minutes, and the first ones of the tasks on networks.
Existing endpoints are kept. Delete the file to make all anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

import art_gym
from art_gym.common.files import replacing
from art_gym.envs.config import EnvConfig, load_config
from art_gym.tasks.noise_bank import SHIPPED, SPLITS, NoiseBank, precise_endpoints
from art_gym.tasks.registry import BUILT_IN, NETWORKS, resolve


def main() -> None:
    """Compute the missing chunks and write all by key."""
    file = Path(art_gym.__file__).parent / SHIPPED
    known = dict(np.load(file)) if file.exists() else {}
    banks = [NoiseBank(resolve(task), split, EnvConfig().noises) for task in BUILT_IN for split in SPLITS]
    chunks = [(bank, chunk) for bank in banks for chunk in range(bank.size // bank.chunk)]
    configs = [load_config(task) for task in NETWORKS]
    chunks += [(NoiseBank(resolve(config.task), split, config.noises), 0) for config in configs for split in SPLITS]
    arrays = {}
    for bank, chunk in tqdm(chunks):
        key = bank.key(chunk)
        arrays[key] = known[key] if key in known else precise_endpoints(bank.denoiser, bank.noises(chunk))
    with replacing(file) as temporary:
        np.savez_compressed(temporary, **arrays)


if __name__ == "__main__":
    main()
