"""One Gauss-Newton step on few noises, shrunk as far as these noises disagree.

It corrects what a policy gives from a probe. A step fitted to a handful of noises may not suit others, so the step is
damped by as much as leave-one-out demands: each noise is left out in turn, and what the others' step would do to it is
known from the derivatives, without a call.
"""

from __future__ import annotations

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.samplers.methods import unipc
from art_gym.schedules.closed_forms import equidistribute
from art_gym.schedules.probe import Probe
from art_gym.search.least_squares import Point, working_precision
from art_gym.search.sampler_newton import PROBE, Make, SamplerNewton

ENDPOINT_STEPS = 32  # of UniPC, for endpoints with an error of some 0.001
DAMPINGS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of the loss, whose unit is a factor e of the error
LONGEST = 0.5  # change of a log level or a weight
LEAST_WEIGHTED = 0.1  # errors below this share of the mean one have its weight
DOUBT = 1.0  # standard errors by which noises that are left out must gain
FLOOR = 0.01  # of the error, in units of the data's standard deviation
FEWEST = 3  # noises


def correct(
    denoiser: Counted, found: Probe, num_steps: int, make: Make, first: np.ndarray, budget: float, seed: int = 0
) -> np.ndarray:
    """Return the (P,) numbers after one step from ``first``, or these, if the noises disagree or it does not help.

    Args:
        denoiser: D.
        found: its probe.
        num_steps: K.
        make: the sampler of (P,) numbers: K − 1 for the levels, then perhaps K − 1 for the weights from step 1 on.
        first: (P,) where to begin.
        budget: evaluations. They decide how many noises are used, of 16 at most. With fewer than 3 nothing is done.
        seed: of the noises.
    """
    count = min(int(budget // cost(num_steps, len(first))), 16)
    if count < FEWEST:
        return first
    rng = np.random.default_rng([seed, 32])
    start = rng.standard_normal((count, *denoiser.shape), np.float32) * np.float32(denoiser.sigma_max)
    start = start.astype(working_precision(start))
    endpoints = unipc(3)(denoiser, fine_grid(found), start)
    return OneStep(denoiser, num_steps, make, start, endpoints).taken(first)


def cost(num_steps: int, numbers: int) -> int:
    """Evaluations for one noise: its endpoint, a run, the derivatives, and a run after the step."""
    levels, weights = num_steps * (num_steps - 1) // 2, (num_steps - 1) * (num_steps - 2) // 2
    return ENDPOINT_STEPS + 2 * num_steps + levels + (weights if numbers >= num_steps else 0)


def fine_grid(found: Probe) -> np.ndarray:
    """Levels for precise endpoints: half of them equidistribute the model's stiffness, half are even in log σ."""
    density, widths = np.sqrt(found.stiffness), -np.gradient(np.log(found.levels))
    return equidistribute(found.levels, density + density @ widths / widths.sum(), ENDPOINT_STEPS)


class OneStep(SamplerNewton):
    """The problem of `correct`."""

    def taken(self, first: np.ndarray) -> np.ndarray:
        """(P,) numbers after the step, or the first ones."""
        at = self.point(first)
        if not 0 < at.error < np.inf:
            return first
        step = shrunk_step(*self.by_noise(at), FLOOR * self.denoiser.data_std)
        if step is None:
            return first
        tried = self.point(first + step)
        return tried.numbers if tried.error < at.error else first

    def jacobian(self, at: Point) -> np.ndarray:
        """See `LeastSquares`. A level's run begins at its step, a weight's after it."""
        columns = []
        for j, row in enumerate(PROBE * np.eye(len(at.numbers))):
            levels = j < self.num_steps - 1
            known = j + 1 if levels else j - self.num_steps + 3
            *_, defect = self._go_on(self.make(at.numbers + row), at.latents[:known], at.denoised[:known])
            columns.append((defect - at.defect) / PROBE)
        return np.stack(columns)

    def by_noise(self, at: Point) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(B, P, P) and (B, P) with which a step δ makes each squared error e² + 2 δ·b + δᵀA δ, and (B,) e²."""
        jacobian, defect = self.jacobian(at).astype(np.float64), at.defect.astype(np.float64)
        size = defect.shape[1]
        matrices = np.einsum("pbd,qbd->bpq", jacobian, jacobian) / size
        return matrices, np.einsum("pbd,bd->bp", jacobian, defect) / size, (defect**2).mean(axis=1)


def shrunk_step(matrices: np.ndarray, slopes: np.ndarray, squares: np.ndarray, floor: float) -> np.ndarray | None:
    """(P,) the step whose damping is best for noises that are left out; None if none of them helps.

    Args:
        matrices, slopes, squares: by noise, of `OneStep.by_noise`.
        floor: errors below it hardly count.
    """
    rows, losses = np.arange(len(squares)), []
    for damping in DAMPINGS:
        after = []
        for i in rows:
            step = damped(matrices[rows != i], slopes[rows != i], squares[rows != i], floor, damping)
            after.append(max(squares[i] + 2 * step @ slopes[i] + step @ matrices[i] @ step, 0.0))
        change = np.sqrt(after) - np.sqrt(squares)
        losses.append(change.mean() + DOUBT * change.std(ddof=1) / np.sqrt(len(rows)))
    best = int(np.argmin(losses))
    return damped(matrices, slopes, squares, floor, DAMPINGS[best]) if losses[best] < 0 else None


def damped(matrices: np.ndarray, slopes: np.ndarray, squares: np.ndarray, floor: float, damping: float) -> np.ndarray:
    """(P,) step on log(mean error + floor), by squares with the weight of the inverse error."""
    sizes = np.sqrt(squares)
    weights = 1 / np.maximum(sizes, LEAST_WEIGHTED * sizes.mean()) / (sizes.mean() + floor) / len(sizes)
    matrix = np.einsum("b,bpq->pq", weights, matrices) + damping * np.eye(slopes.shape[1])
    step: np.ndarray = np.clip(-np.linalg.solve(matrix, weights @ slopes), -LONGEST, LONGEST)
    return step
