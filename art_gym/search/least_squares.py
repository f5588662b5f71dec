"""Levenberg-Marquardt on the defect that is left at the end of sampling, for whatever numbers a sampler has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Array, Counted
from art_gym.denoisers.devices import on_host, placed
from art_gym.search.base import exhaust

Latents = list[Array]  # one (B, *shape) array for each level, on the device of the denoiser

TINY = 16  # latents with fewer elements are tiny
CORRECTIONS = 3  # corrections of a Jacobian before it is measured again
LONGEST = 1.5  # longest step of a number


def working_precision(start: np.ndarray) -> type[np.floating]:
    """The float type for fitting.

    With few dimensions errors fall to 10⁻³, and this needs float64. Otherwise float32 takes half the time.
    """
    return np.float64 if start[0].size < TINY else np.float32


class Fit(NamedTuple):
    """The mean error of (P,) numbers."""

    error: float
    numbers: np.ndarray


by_error = attrgetter("error")  # of fits


class Point(NamedTuple):
    """(P,) numbers, and the results of a run with them."""

    numbers: np.ndarray
    latents: Latents  # K, at every level but the last
    denoised: Latents  # D of these latents
    defect: np.ndarray  # (B, d), at the end of the run
    error: float  # root mean square of the defect, averaged over the batch


class LeastSquares(ABC):
    """Levenberg-Marquardt on Σ_i w_i ‖x_i − endpoint_i‖².

    The weights w_i = 1/err_i make it minimise the mean of err_i (reweighted squares).

    Args:
        denoiser: what is sampled. If it depends on the number of the step, each run begins anew, which costs twice as
            much.
        start, endpoints: (B, *shape) training noises at σ_max and their precise endpoints.
        budget: evaluations of the denoiser after which no new Jacobian begins.
    """

    corrections = CORRECTIONS
    least_weighted = 0.1  # errors below this share of the mean one have its weight

    def __init__(self, denoiser: Counted, start: np.ndarray, endpoints: np.ndarray, budget: float = np.inf) -> None:
        self.denoiser, self.start, self.endpoints, self.budget = denoiser, start, endpoints, budget
        self.placed = placed(start, denoiser)

    @abstractmethod
    def point(self, numbers: np.ndarray) -> Point:
        """Run with (P,) numbers. The error of numbers that cannot be is ∞."""

    @abstractmethod
    def jacobian(self, at: Point) -> np.ndarray:
        """(P, B, d) derivative of the defect with respect to the numbers."""

    @abstractmethod
    def bounded(self, numbers: np.ndarray) -> np.ndarray:
        """The nearest numbers within their limits."""

    def improve(self, numbers: np.ndarray, steps: int) -> Fit:
        """Run Levenberg-Marquardt from (P,) numbers for up to ``steps`` Jacobians, and return the last fit."""
        return exhaust(self.improving(numbers, steps))

    def improving(self, numbers: np.ndarray, steps: int) -> Generator[Fit, None, Fit]:
        """Like `improve`, but yield each step that helps.

        A Jacobian costs K²/2 calls and more, and a step costs K. So each step corrects the Jacobian by the change that
        it caused (Broyden, Math. Comp. 19, 1965, eq. 4.5). A new measurement follows only when corrections stop
        helping.
        """
        at, damping = self.point(self.bounded(numbers)), 1e-2
        for _ in range(steps):
            if self.denoiser.evaluations > self.budget or not 0 < at.error < np.inf:
                break
            jacobian, measured = self.jacobian(at), at.error  # (P, B, d)
            if not np.isfinite(jacobian).all():  # the network is not finite at some levels
                break
            for age in range(self.corrections + 1):
                before = at
                at, damping = self._step(at, jacobian, damping, once=age > 0)
                if at is not before:
                    yield Fit(at.error, at.numbers)
                if at.error == 0 or at.error > before.error * (1 - 1e-2):
                    break
                moved = at.numbers - before.numbers
                unforeseen = at.defect - before.defect - np.tensordot(moved, jacobian, 1)  # (B, d)
                jacobian += np.multiply.outer(moved / (moved @ moved), unforeseen)
            if at.error > measured * (1 - 1e-3):
                break
        return Fit(at.error, at.numbers)

    def _step(self, at: Point, jacobian: np.ndarray, damping: float, once: bool) -> tuple[Point, float]:
        """The first step that helps, and the next damping. Each try is damped more; ``once`` allows one try."""
        size = np.sqrt((at.defect**2).mean(axis=1))  # (B,)
        weighted = jacobian / np.maximum(size, self.least_weighted * size.mean())[:, None]
        matrix = weighted.reshape(len(at.numbers), -1) @ jacobian.reshape(len(at.numbers), -1).T
        slope = weighted.reshape(len(at.numbers), -1) @ at.defect.ravel()
        scale = np.diag(matrix) + 1e-9 * np.trace(matrix)
        while damping < 1e3:
            # Least squares, because a number without influence makes the matrix singular to rounding.
            step = np.linalg.lstsq(matrix + damping * np.diag(scale), slope, rcond=None)[0]
            tried = self.point(self.bounded(at.numbers - np.clip(step, -LONGEST, LONGEST)))
            if tried.error < at.error:
                return tried, damping / 4
            if once:  # a failure says more about the corrected Jacobian than about the damping
                break
            damping *= 4
        return at, damping

    def _defect(self, samples: Array) -> np.ndarray:
        """(B, d) difference of samples from their endpoints, on the host."""
        defect: np.ndarray = (on_host(samples) - self.endpoints).reshape(len(self.start), -1)
        return defect

    def _ended(self, numbers: np.ndarray, latents: Latents, denoised: Latents, defect: np.ndarray) -> Point:
        error = float(np.sqrt((defect.astype(np.float64) ** 2).mean(axis=1)).mean())
        return Point(numbers, latents, denoised, defect, error if np.isfinite(error) else np.inf)


def impossible(numbers: np.ndarray) -> Point:
    """The point of numbers with which nothing can be sampled."""
    return Point(numbers, [], [], np.empty(0), np.inf)
