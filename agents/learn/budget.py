"""A budget of time or of denoiser evaluations, and a denoiser that stops when the budget is spent."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from art_gym.common.messages import short
from art_gym.denoisers.base import Array, Checked, Denoiser

PATIENCE = 1.0  # seconds that any call may take
MOST = 1e15
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class BudgetSpent(Exception):
    """Raised by a metered denoiser instead of a call that the budget does not allow."""


@dataclass(frozen=True)
class Budget:
    """A limit on time or on denoiser evaluations. The other limit is ∞.

    Attributes:
        seconds: wall time.
        evaluations: denoiser evaluations, one per sample and level.
    """

    seconds: float = float("inf")
    evaluations: float = float("inf")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Parse "90s", "10m", "1.5h" or "200000nfe". Raises a ValueError that shows these forms."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|nfe)", text.strip().lower())
        if not match or not 0 < float(match[1]) < MOST:
            raise ValueError(f"cannot read the budget {short(text)}: write it as 90s, 10m, 1.5h or 200000nfe")
        amount = float(match[1])
        return cls(evaluations=amount) if match[2] == "nfe" else cls(seconds=amount * UNITS[match[2]])


class Metered(Checked):
    """A denoiser that counts and times its calls against a budget.

    Args:
        denoiser: to call.
        budget: once it is spent, calls raise `BudgetSpent`, unless ``enforced`` is False, as for the final report.
        called: a function to run after each call, such as to move a progress bar.

    Raises:
        ValueError: if the result of a call is not finite. The message names σ.
    """

    def __init__(self, denoiser: Denoiser, budget: Budget, called: Callable[[], object] = lambda: None) -> None:
        super().__init__(denoiser)
        self.called = called
        self.budget, self.began, self.enforced = budget, time.perf_counter(), True
        self._called_at, self._longest = self.began, 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the meter was made."""
        return time.perf_counter() - self.began

    @property
    def share(self) -> float:
        """The share of the budget that is spent."""
        return self.share_of(self.seconds, self.evaluations)

    def share_of(self, seconds: float, evaluations: int) -> float:
        """The share of the budget that these are."""
        return max(seconds / self.budget.seconds, evaluations / self.budget.evaluations)

    def go_on(self, seconds: float, evaluations: int) -> None:
        """Count what an earlier run has spent."""
        self.began -= seconds
        self.evaluations += evaluations

    @property
    def stuck(self) -> bool:
        """Whether the call that an interrupt has ended took far longer than any before it, as if for ever."""
        return time.perf_counter() - self._called_at > PATIENCE + 10 * self._longest

    def affordable(self, share: float) -> float:
        """The evaluations that this share of the whole budget pays for, at the speed so far."""
        if share <= 0:
            return 0.0  # a part of the budget may have no limit, and 0 · ∞ is NaN
        by_time = share * self.budget.seconds * self.evaluations / max(self.seconds, 1e-9)
        return min(by_time, share * self.budget.evaluations)

    def asked(self, rows: int) -> None:
        """Count a call, if the budget allows it."""
        if self.enforced and self.share >= 1:
            raise BudgetSpent
        self._called_at = time.perf_counter()
        super().asked(rows)

    def answered(self, denoised: Array, sigma: Array) -> Array:
        """Return what a call gave, if it is finite."""
        result = super().answered(denoised, sigma)
        self._longest = max(self._longest, time.perf_counter() - self._called_at)
        self.called()
        return result
