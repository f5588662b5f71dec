"""Makes art_gym/data/endpoints.npz: the precise endpoints of the exact tasks' noises, which would take two minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

import art_gym
from art_gym.config import EnvConfig
from art_gym.files import replacing
from art_gym.noise_bank import SHIPPED, SPLITS, NoiseBank, precise_endpoints
from art_gym.tasks import BUILT_IN, resolve


def main() -> None:
    """Compute all chunks and write them by key."""
    banks = [NoiseBank(resolve(task), split, EnvConfig().noises) for task in BUILT_IN for split in SPLITS]
    chunks = [(bank, chunk) for bank in banks for chunk in range(bank.size // bank.chunk)]
    arrays = {bank.key(chunk): precise_endpoints(bank.denoiser, bank.noises(chunk)) for bank, chunk in tqdm(chunks)}
    with replacing(Path(art_gym.__file__).parent / SHIPPED) as temporary:
        np.savez_compressed(temporary, **arrays)


if __name__ == "__main__":
    main()
