"""Trains the policy behind instant schedules: Gauss-Newton on the weights of a regression, over many random models.

The loss is the mean over models of log(E + floor), E the mean endpoint error on the levels that the regression gives.
So no best grids are needed as labels, and levels that do not matter for the error do not matter for the fit.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import art_gym
from art_gym.denoisers.base import Counted, Denoiser
from art_gym.denoisers.threads import one_thread
from art_gym.schedules.fine import reference_grid
from art_gym.schedules.instant import InstantPolicy, Regression, features, profile, shifted
from art_gym.schedules.probe import Probe, probe
from art_gym.search.gauss_newton import PROBE, GaussNewton
from art_gym.search.least_squares import TINY, Point, working_precision
from art_gym.solvers.base import Solver, get_solver
from art_gym.solvers.loop import integrate
from art_gym.tasks.random_models import TRAINING_SEEDS, VALIDATION_SEEDS, random_model

MODELS = 400
SOLVERS, TRAINED = ("dpmpp_2m", "euler"), (5, 7, 10)
LATENTS = 96, 64  # for each model with few dimensions, and with many
REFERENCE = 64  # RK4 steps to the precise endpoints
FLOOR = 0.03  # of the error, in units of the data's standard deviation: smaller errors hardly count
RIDGE = 0.1
ITERATIONS, TRIES = 12, 5  # of Gauss-Newton, and dampings in each
GAIN = 2e-3  # of the loss; after a smaller one the fit ends
MISJUDGED = 0.5  # log of the factor by which the told deviation of the data may be wrong, as it often is for a network
SCALE = 0.05  # added to the features' standard deviations, so that constant ones do not blow up
QUANTILE = 0.99  # of the validation models' distances, which is the threshold for unlike models


@dataclass(frozen=True, eq=False)
class Example:
    """A model, some of its noises with their precise endpoints, and its probe."""

    denoiser: Denoiser
    start: np.ndarray  # (B, d)
    endpoints: np.ndarray  # (B, d)
    probe: Probe

    @classmethod
    def of(cls, seed: int) -> Example:
        """The example of a random model."""
        denoiser = random_model(seed)
        count = LATENTS[0] if denoiser.shape[0] < TINY else LATENTS[1]
        rng = np.random.default_rng([seed, 7])
        noise = rng.standard_normal((count, *denoiser.shape))
        start = (noise * denoiser.sigma_max).astype(working_precision(noise))
        endpoints = integrate(denoiser, reference_grid(denoiser, REFERENCE), start, "rk4")
        guessed = Counted(denoiser)
        guessed.data_std *= float(np.exp(rng.uniform(-MISJUDGED, MISJUDGED)))
        return cls(denoiser, start, endpoints, probe(guessed, seed=seed))


class Fitted(GaussNewton):
    """The problem of one example. Its numbers are a shift of the closed form's log levels."""

    def __init__(self, example: Example, solver: Solver, num_steps: int) -> None:
        super().__init__(Counted(example.denoiser), solver, example.start, example.endpoints)
        self.probe, self.first = example.probe, example.probe.closed_form(num_steps)

    def bounded(self, numbers: np.ndarray) -> np.ndarray:
        """All are possible, because `shifted` keeps the levels apart."""
        return numbers

    def point(self, numbers: np.ndarray) -> Point:
        """See `LeastSquares`."""
        levels = shifted(self.probe, self.first, numbers)
        return self._ended(numbers, *self._go_on(levels, [self.start], []))

    def jacobian(self, at: Point) -> np.ndarray:
        """See `LeastSquares`."""
        levels, columns = shifted(self.probe, self.first, at.numbers), []
        for k in range(1, len(levels) - 1):
            moved = levels.copy()
            moved[k] *= np.exp(PROBE)
            *_, defect = self._go_on(moved, at.latents[:k], at.denoised[:k])
            columns.append((defect - at.defect) / PROBE)
        return np.stack(columns)

    def loss(self, at: Point) -> float:
        """log(E + floor), with E in units of the data's standard deviation."""
        return float(np.log(at.error / self.denoiser.data_std + FLOOR))

    def quadratic(self, at: Point) -> tuple[np.ndarray, np.ndarray]:
        """(K−1, K−1) Hessian of the loss without second derivatives of the defect, and (K−1,) gradient."""
        jacobian = self.jacobian(at)  # (K−1, B, d)
        size = np.sqrt((at.defect**2).mean(axis=1))  # (B,)
        # With err_i the root mean square of a defect, d err_i = ⟨defect, d defect⟩ / (d err_i).
        weight = 1 / np.maximum(size, self.least_weighted * size.mean()) / at.defect.size
        weight /= size.mean() + FLOOR * self.denoiser.data_std
        weighted = (jacobian * weight[:, None]).reshape(len(jacobian), -1)
        return weighted @ jacobian.reshape(len(jacobian), -1).T, weighted @ at.defect.ravel()


class Fit(NamedTuple):
    """Weights, the points that they lead to, and the loss with the ridge."""

    weights: np.ndarray  # (F, K − 1)
    points: list[Point]
    loss: float


class Fitting:
    """Fits one regression, for a solver and K.

    Args:
        examples: of the training.
        solver: name.
        num_steps: K.
    """

    def __init__(self, examples: Iterable[Example], solver: str, num_steps: int) -> None:
        self.problems = [Fitted(example, get_solver(solver), num_steps) for example in examples]
        known = np.stack([features(problem.probe, num_steps) for problem in self.problems])  # (N, F − 1)
        empty = np.zeros((known.shape[1] + 1, num_steps - 1))
        self.regression = Regression(known.mean(axis=0), known.std(axis=0) + SCALE, empty)
        self.inputs = self.regression.inputs(known)  # (N, F)
        self.ridge = np.full(empty.shape, RIDGE)
        self.ridge[0] = 0  # the constant

    def run(self) -> Regression:
        """Gauss-Newton from the closed form, damped until a step helps."""
        best, damping = self._fit(self.regression.weights), 1e-2
        for _ in range(ITERATIONS):
            tried, damping = self._step(best, damping)
            gain, best = best.loss - tried.loss, min(best, tried, key=lambda fit: fit.loss)
            if gain < GAIN:
                break
        return self.regression._replace(weights=best.weights)

    def _fit(self, weights: np.ndarray) -> Fit:
        shifts = self.inputs @ weights
        points = [problem.point(shift) for problem, shift in zip(self.problems, shifts, strict=True)]
        losses = [problem.loss(point) for problem, point in zip(self.problems, points, strict=True)]
        return Fit(weights, points, float(np.mean(losses) + (self.ridge * weights**2).sum() / 2))

    def _step(self, at: Fit, damping: float) -> tuple[Fit, float]:
        """The first step that helps, or the last one tried, and the next damping."""
        width, count = at.weights.size, len(self.problems)
        hessian, slope = np.diag(self.ridge.ravel()), (self.ridge * at.weights).ravel()
        for problem, point, inputs in zip(self.problems, at.points, self.inputs, strict=True):
            matrix, gradient = problem.quadratic(point)
            # (F, K−1, F, K−1), as the shift is linear in the weights
            hessian += np.einsum("i,kl,j->ikjl", inputs, matrix, inputs).reshape(width, width) / count
            slope += np.outer(inputs, gradient).ravel() / count
        for _ in range(TRIES):
            step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), slope)
            tried = self._fit(at.weights - step.reshape(at.weights.shape))
            if tried.loss < at.loss:
                return tried, damping / 4
            damping = max(8 * damping, 1e-2)
        return tried, damping


def train_instant(
    models: int = MODELS,
    solvers: tuple[str, ...] = SOLVERS,
    steps: tuple[int, ...] = TRAINED,
    first: int = 0,
    progress: bool = True,
) -> InstantPolicy:
    """Train a regression for each solver and K, on random models alone.

    Args:
        models: how many.
        solvers, steps: what for.
        first: number of the first training model, so that policies of disjoint models can be compared.
        progress: show a bar.

    Raises:
        ValueError: for fewer than 2 models, or a K below 3.
    """
    if models < 2 or min(steps) < 3:
        raise ValueError(f"need at least 2 models and 3 steps, got {models} and {steps}: raise them")
    began, regressions = time.perf_counter(), {}
    with one_thread(), tqdm(total=models + len(solvers) * len(steps), disable=not progress, unit="") as bar:
        examples = []
        for seed in TRAINING_SEEDS[first : first + models]:
            examples.append(Example.of(seed))
            bar.update()
        for key in [(solver, num_steps) for solver in solvers for num_steps in steps]:
            bar.set_postfix_str(f"{key[0]}, K = {key[1]}")
            regressions[key] = Fitting(examples, *key).run()
            bar.update()
    mean, precision = _spread(examples)
    facts = {
        "command": f"art-gym train-instant --models {models} --first {first}",
        "seeds": f"{TRAINING_SEEDS[first]} to {TRAINING_SEEDS[first + models - 1]}",
        "version": art_gym.__version__,
        "seconds": f"{time.perf_counter() - began:.0f}",
    }
    policy = InstantPolicy(regressions, mean, precision, np.inf, facts)
    distances = [policy.distance(probe(random_model(seed))) for seed in VALIDATION_SEEDS]
    return InstantPolicy(regressions, mean, precision, float(np.quantile(distances, QUANTILE)), facts)


def _spread(examples: Iterable[Example]) -> tuple[np.ndarray, np.ndarray]:
    """(J,) mean and (J, J) precision of the profiles."""
    profiles = np.stack([profile(example.probe) for example in examples])  # (N, J)
    covariance = np.cov(profiles.T) + SCALE**2 * np.eye(profiles.shape[1])
    return profiles.mean(axis=0), np.linalg.inv(covariance)
