"""The noises and the budget of each episode: a pure function of an environment's seed and its episode number.

A counter-based generator (SplitMix64, Steele et al. 2014) draws for all environments at once. An environment draws the
same numbers alone and among a thousand others. The seed's numpy Generator gives the key. Each purpose has a stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from art_gym.common.messages import short
from art_gym.denoisers.base import is_several
from art_gym.tasks.noise_bank import NoiseBank

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FAMILY_SPEED = 16  # times as many noises become available to episodes of a family of models
NOISE_STREAM, BUDGET_STREAM = np.uint64(1), np.uint64(2)


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser on uint64. The arithmetic wraps around on purpose."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed


def draw(keys: np.ndarray, episode: np.ndarray, stream: np.uint64, count: int) -> np.ndarray:
    """(E, count) uint64 numbers for (E,) keys and episode numbers."""
    base = _mix(keys + _GOLDEN * _mix(episode.astype(np.uint64) * np.uint64(4) + stream))  # (E,)
    return _mix(base[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64))


@dataclass
class Episodes:
    """Deals out episodes to E environments.

    Attributes:
        bank: the noises.
        population: N, the noises of an episode.
        budgets: lowest and highest K.
        keys: (E,) uint64, one for each seed.
        episode: (E,) how many episodes each environment has begun since its seed was set.
    """

    bank: NoiseBank
    population: int
    budgets: tuple[int, int]
    keys: np.ndarray
    episode: np.ndarray

    @classmethod
    def unseeded(cls, bank: NoiseBank, population: int, budgets: tuple[int, int], count: int) -> Episodes:
        """Make it for ``count`` environments, without keys yet."""
        return cls(bank, population, budgets, np.zeros(count, np.uint64), np.zeros(count, np.int64))

    def seed(self, lane: int, generator: np.random.Generator) -> None:
        """Restart the episodes of one environment from its generator."""
        self.keys[lane] = generator.integers(2**63)
        self.episode[lane] = 0

    def begin(self, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Next episode of some environments: (L, N) rows of the bank and (L,) budgets."""
        keys, episode = self.keys[lanes], self.episode[lanes]
        drawn, available = draw(keys, episode, NOISE_STREAM, self.population), self._available(episode)
        noise = drawn % available[:, None]
        if (conditions := self.bank.conditions(int(available.max()))) is not None:
            for row, numbers, count in zip(noise, drawn, available, strict=True):
                alike = np.flatnonzero(conditions[:count] == conditions[row[0]])
                others = alike[np.argsort(_mix(numbers[0] + _GOLDEN * alike.astype(np.uint64)))]  # shuffled
                row[1:] = np.resize(others[others != row[0]] if len(others) > 1 else others, len(row) - 1)
        low, high = self.budgets
        budget = low + draw(keys, episode, BUDGET_STREAM, 1)[:, 0] % np.uint64(high - low + 1)
        self.episode[lanes] += 1
        return noise.astype(np.int64), budget.astype(np.int64)

    def _available(self, episode: np.ndarray) -> np.ndarray:
        """(L,) numbers of rows to draw from: one chunk at first, doubled whenever about as many noises have been used.

        So the first episode waits for only one chunk of endpoints. A family of models doubles it sooner, so that
        training meets most of them. The number depends only on the environment's own episodes, so a rollout does not
        depend on other environments.
        """
        speed = FAMILY_SPEED if is_several(self.bank.denoiser) else 1
        used = episode * self.population * speed // self.bank.chunk
        doublings = np.floor(np.log2(used + 1)).astype(np.int64)
        limits: np.ndarray = np.minimum(self.bank.chunk << np.minimum(doublings, 30), self.bank.size).astype(np.uint64)
        return limits


def whole_numbers(given: Any, expected: str) -> np.ndarray:
    """Whole numbers as an array that is not empty. Raises a ValueError for other values."""
    try:
        array = np.asarray(given)
    except Exception:  # rows of several lengths, or whatever an object's own __array__ raises
        raise ValueError(f"{expected}, got {short(given)}") from None
    if not np.issubdtype(array.dtype, np.integer) or not array.size or isinstance(given, np.ma.MaskedArray):
        raise ValueError(f"{expected}, got {short(given)}")
    return array


def checked_budgets(wanted: Any, budgets: tuple[int, int], name: str) -> np.ndarray:
    """Budgets as an array of whole numbers. Raises a ValueError for other values, or outside the configured range."""
    array = whole_numbers(wanted, f"{name} must be a whole number")
    low, high = budgets
    outside = array[(array < low) | (array > high)]
    if outside.size:
        expected = f"be {low}, as configured" if low == high else f"lie in the configured range {budgets}"
        raise ValueError(f"{name} must {expected}, got {outside[0]}")
    return array


def pinned(
    options: dict[str, object], noise: np.ndarray, budget: np.ndarray, size: int, budgets: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Replace the draw by reset options: "noise" gives rows of the bank, "num_steps" gives a budget.

    Raises:
        ValueError: for an unknown option, rows outside the bank or a budget outside the configured range.
    """
    for key in options:
        if key not in ("noise", "num_steps"):
            raise ValueError(f"unknown reset option {short(key)}: known are 'noise', 'num_steps'")
    if "noise" in options:
        rows = whole_numbers(options["noise"], f"option 'noise' takes whole numbers from 0 to {size - 1}")
        if rows.shape != noise.shape:
            raise ValueError(f"option 'noise' needs rows of shape {noise.shape}, got {rows.shape}")
        if rows.min() < 0 or rows.max() >= size:
            raise ValueError(f"option 'noise' takes whole numbers from 0 to {size - 1}, got {short(rows.tolist())}")
        noise = rows.astype(np.int64)
    if "num_steps" in options:
        wanted = checked_budgets(options["num_steps"], budgets, "option 'num_steps'")
        if wanted.shape not in ((), (1,), budget.shape):
            raise ValueError(
                f"option 'num_steps' takes one number, or one for each of {budget.size}, got {short(wanted.tolist())}"
            )
        budget = np.broadcast_to(wanted.astype(np.int64), budget.shape).copy()
    return noise, budget
