"""Evaluation on held-out noise: all measures of a schedule or a policy. The noises are fixed and the same for all."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Counted, Denoiser, check_levels, from_level, models_of, visible
from art_gym.envs.config import EnvConfig
from art_gym.envs.episodes import checked_budgets
from art_gym.envs.state import State
from art_gym.evaluation.policies import Policy, follow
from art_gym.measures.class_quality import Quality
from art_gym.measures.distances import energy_distance, mean_distance, random_directions, sliced_wasserstein
from art_gym.measures.errors import endpoint_error, image_error, mean_error
from art_gym.measures.frechet import NEIGHBOURS, ball_radii, frechet_distance, precision_recall
from art_gym.samplers.coefficients import Coefficients
from art_gym.samplers.plans import Plan, draw, levels_of
from art_gym.samplers.sampler import Sampler, check_told
from art_gym.tasks.noise_bank import Same, get_bank
from art_gym.tasks.target import BANK, Target

HELDOUT_BANK = BANK  # noises that no training uses
HELDOUT = 2048  # results are reported on this many first rows
VALIDATION_NOISES = 512
VALIDATION = HELDOUT  # first of the rows that choose the best model of a training run


@dataclass(frozen=True)
class Evaluation:
    """Measures over the held-out noises, the same for every training reward.

    Attributes:
        error: mean endpoint error, in units of the data; `error_interval` is half its 95 % interval over noises. For a
            task of several models it is the geometric mean of theirs, and the interval is over models.
        rms, median: root mean square and median of the same errors.
        sliced: sliced-Wasserstein distance to an equal number of data draws; None without data.
        sliced_endpoints: sliced-Wasserstein distance to the precise endpoints of the same noises.
        energy: energy distance to the same draws; None without data or with a single noise.
        frechet: Fréchet distance to the same draws in the features of a network; None without data, without features or
            with fewer than 4 noises. It has a bias that grows with 1/count.
        precision, recall: of the samples in the same features. The shipped networks draw data with replacement, so an
            image may appear more than once. This lowers both a little.
        image_error: mean endpoint error between decoded images; None without a decoder.
        nfe: denoiser calls for one sample.
        seconds: wall time of the sampling.
        levels: (K+1,) the grid, or the mean grid (in log σ) of a policy.
        spread: standard deviation of log σ over populations, the largest of all steps; 0 for a fixed grid.
        sampler: the numbers of a sampler, or the mean ones of a policy that chooses them; None for a grid.
        guidance: (K,) mean guidance weights of a policy that chooses them; None for others.
        quality: what the task's classifier says of the samples; None for a task without one.
        noises: how many were sampled. A policy samples whole populations, so this may differ from the requested count.
    """

    error: float
    error_interval: float
    rms: float
    median: float
    sliced: float | None
    energy: float | None
    nfe: float
    seconds: float
    levels: np.ndarray
    spread: float = 0.0
    sliced_endpoints: float | None = None
    image_error: float | None = None
    frechet: float | None = None
    precision: float | None = None
    recall: float | None = None
    sampler: Coefficients | None = None
    noises: int = HELDOUT
    guidance: np.ndarray | None = None
    quality: Quality | None = None

    @property
    def loss(self) -> float:
        """What training lowers: the cost of the quality where no endpoint is right, else the error."""
        return self.error if self.quality is None else self.quality.cost

    @property
    def plan(self) -> np.ndarray | Coefficients:
        """The grid, or the sampler."""
        return self.levels if self.sampler is None else self.sampler


def evaluate_plan(
    target: Target,
    plan: Plan,
    count: int = HELDOUT,
    first: int = 0,
    distances: bool = True,
) -> Evaluation:
    """Evaluate a fixed grid, or a sampler.

    Args:
        target: what to sample. A sampler does without its solver.
        plan: (K+1,) decreasing levels with a trailing 0, a Schedule, or a Sampler.
        count: how many held-out noises.
        first: first row of the held-out noises.
        distances: compute the distances to data too.

    Raises:
        ValueError: for levels that are no schedule, a first level or a told one outside the noise range, or an invalid
            count.
    """
    _check_count(count)
    denoiser, sigmas = target.denoiser, levels_of(plan)
    # Check only the first level: closed forms and grids from another task may end a little below σ_min.
    check_levels(sigmas[[0, -1]], denoiser.sigma_min, denoiser.sigma_max, type(denoiser).__name__)
    if isinstance(plan, Sampler):
        check_told(plan, denoiser, type(denoiser).__name__)
    rows = slice(first, first + count)
    bank = get_bank(denoiser, "heldout", max(HELDOUT_BANK, rows.stop))
    bank.ensure(rows.stop)
    counted = Counted(denoiser)
    # A schedule that does not start at σ_max starts from noise of its first level.
    start = from_level(bank.start[rows], sigmas[0], denoiser)
    began = time.perf_counter()
    samples = draw(counted, plan, start, target.solver)
    seconds = time.perf_counter() - began
    nfe = counted.evaluations / count
    found = _measured(denoiser, samples, bank.endpoints[rows], nfe, seconds, sigmas, distances)
    coefficients = plan.coefficients() if isinstance(plan, Sampler) else plan
    return replace(found, sampler=coefficients) if isinstance(coefficients, Coefficients) else found


def evaluate_policy(
    policy: Policy,
    config: EnvConfig,
    num_steps: int,
    count: int = HELDOUT,
    first: int = 0,
    distances: bool = True,
) -> Evaluation:
    """Run a policy on held-out noises in populations of the configured size.

    Args:
        policy: deterministic map from (E, features) observations to (E, A) actions.
        config: the configuration that the policy was trained with. Its split is replaced.
        num_steps: K, within the configured range.
        count: how many held-out noises. It is rounded down to whole populations, but to at least one population.
        first: first row of the held-out bank.
        distances: compute the distances to data too.

    Raises:
        ValueError: for a K or a count out of range, or actions that are NaN or not of shape (E, A).
    """
    checked_budgets(num_steps, config.budgets, "num_steps")
    _check_count(count)
    rows = first + whole_populations(count, config.population)
    order = np.arange(first, rows)
    # A large population may need more noises than the usual bank has. The first ones stay the same in a larger bank.
    # No reward is paid here, and the training reward may need something that this task lacks: use the default one.
    core = replace(config, split="heldout", noises=max(HELDOUT_BANK, rows), reward="log_ratio").make_core()
    conditions = core.problem.bank.conditions(rows)
    if conditions is not None:  # then nearly every population has a single condition
        order = order[np.argsort(conditions[order], kind="stable")]
    if conditions is not None and getattr(core.problem.denoiser, "quality", None) is not None:
        order = _of_one_class(order, conditions[order], config.population)
    noise = order.reshape(-1, config.population)  # (E, N)
    core.problem.bank.ensure(rows)  # outside the timing: precise endpoints are no part of sampling
    began = time.perf_counter()
    state = core.denoise(core.start(noise, np.full(len(noise), num_steps)))
    state = follow(core, policy, state, num_steps)
    seconds = time.perf_counter() - began
    logs = np.log(state.grid[:, :num_steps])  # (E, K)
    mean = np.where(np.ptp(logs, axis=0) == 0, state.grid[0, :num_steps], np.exp(logs.mean(axis=0)))  # σ_max exactly
    levels = np.append(mean, 0.0)
    shape = core.problem.denoiser.shape
    samples, endpoints = state.x.reshape(-1, *shape), core.problem.bank.endpoints[noise].reshape(-1, *shape)
    nfe = core.problem.denoise.evaluations / noise.size
    measured = _measured(core.problem.denoiser, samples, endpoints, nfe, seconds, levels, distances)
    found = replace(measured, spread=float(logs.std(axis=0).max()), sampler=_mean_sampler(state, levels))
    return replace(found, guidance=_mean_guidance(state, num_steps))


def _of_one_class(rows: np.ndarray, classes: np.ndarray, population: int) -> np.ndarray:
    """The rows, without those that fill no whole population of their class. The classes are sorted."""
    ends = np.flatnonzero(np.diff(classes)) + 1
    whole = [part[: len(part) // population * population] for part in np.split(rows, ends)]
    kept = np.concatenate(whole)
    return kept if len(kept) else rows


def _mean_sampler(state: State, levels: np.ndarray) -> Coefficients | None:
    """The mean numbers of the episodes that have ended, if their actions chose them."""
    if not state.told.shape[1]:
        return None
    told, weights = state.told[:, : len(levels) - 1], state.weights[:, : len(levels) - 1]
    return Coefficients(levels, np.exp(np.log(told).mean(axis=0)), weights.mean(axis=0))


def _mean_guidance(state: State, num_steps: int) -> np.ndarray | None:
    """The (K,) geometric means of the guidance weights, if actions chose these."""
    if state.told.shape[1] or not state.weights.shape[2]:
        return None
    mean: np.ndarray = np.exp(np.log(state.weights[:, :num_steps, 0]).mean(axis=0))
    return mean


def whole_populations(count: int, population: int) -> int:
    """The number of noises for evaluating a policy if ``count`` are requested: whole populations, at least one."""
    return max(count // population, 1) * population


def _check_count(count: int) -> None:
    if not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(f"count must be a whole number of at least 1, got {count!r}")


class _Data(NamedTuple):
    """Data draws to compare samples with, and the values that the comparisons need."""

    samples: np.ndarray  # (N, d)
    within: float | None  # mean distance between draws; None for a single draw
    features: np.ndarray | None  # (N, f); None without features, or for too few draws
    radii: np.ndarray | None  # (N,)


@lru_cache(maxsize=8)
def _data(denoiser: Same, features: Same, shape: tuple[int, ...]) -> _Data:
    """The data draws to compare samples of shape (N, …) with, always the same ones."""
    count = shape[0]
    drawn = denoiser.one.sample_data(count, np.random.default_rng(17)).reshape(shape)  # a user's draws may be flat
    flat = drawn.reshape(count, -1)
    found = features.one(drawn) if features.one is not None and count > NEIGHBOURS else None
    radii = None if found is None else ball_radii(found)
    return _Data(flat, mean_distance(flat) if count > 1 else None, found, radii)


def _measured(
    denoiser: Denoiser,
    samples: np.ndarray,
    endpoints: np.ndarray,
    nfe: float,
    seconds: float,
    levels: np.ndarray,
    distances: bool,
) -> Evaluation:
    models, quality = models_of(samples, denoiser), _quality(denoiser, samples)
    samples, endpoints = visible(samples, denoiser), visible(endpoints, denoiser)
    errors = endpoint_error(samples, endpoints)
    mean, interval = mean_error(errors, models)
    sliced = to_endpoints = energy = images = frechet = precision = recall = None
    if distances:
        flat = samples.reshape(len(samples), -1)
        directions = random_directions(flat.shape[1], 1 if flat.shape[1] == 1 else 256, np.random.default_rng(18))
        to_endpoints = float(sliced_wasserstein(flat, endpoints.reshape(flat.shape), directions))
    if distances and getattr(denoiser, "decode", None) is not None:
        images = float(image_error(denoiser, samples, endpoints).mean())
    if distances and getattr(denoiser, "sample_data", None) is not None:
        features = getattr(denoiser, "features", None)
        data = _data(Same(denoiser), Same(features), samples.shape)
        sliced = float(sliced_wasserstein(flat, data.samples, directions))
        energy = None if data.within is None else energy_distance(flat, data.samples, data.within)
        if features is not None and data.features is not None:
            ours = features(samples)
            frechet = frechet_distance(ours, data.features)
            precision, recall = precision_recall(ours, data.features, data.radii)
    return Evaluation(
        error=mean,
        error_interval=interval,
        rms=float(np.sqrt((errors**2).mean())),
        median=float(np.median(errors)),
        sliced=sliced,
        sliced_endpoints=to_endpoints,
        energy=energy,
        nfe=nfe,
        seconds=seconds,
        levels=levels,
        image_error=images,
        frechet=frechet,
        precision=precision,
        recall=recall,
        noises=len(errors),
        quality=quality,
    )


def _quality(denoiser: Denoiser, samples: np.ndarray) -> Quality | None:
    """What the task's classifier says of (N, *shape) samples; None for a task without one."""
    measure = getattr(denoiser, "quality", None)
    if measure is None:
        return None
    (found,) = measure(visible(samples, denoiser)[None], denoiser.condition(samples)[None])  # type: ignore[attr-defined]
    quality: Quality = found
    return quality
