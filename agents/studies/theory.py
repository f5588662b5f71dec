"""Measures what ART's theory says of the Gaussian policy, and how near the learned clock is to the closed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from art_gym.denoisers.base import Denoiser
from art_gym.envs.rewards.stiffness import clock_stiffness
from art_gym.schedules.closed_forms import stiffness_profile
from art_gym.tasks.noise_bank import get_bank
from art_gym.tasks.registry import BUILT_IN, resolve

from ..continuous_time import ARTRL, Clock
from ..reports import pictures
from .art_rl import QUICK_SHARE, train_art_rl
from .study import Record, Study, interval, markdown

TEMPERATURE = 0.0625  # λ, in units of E[|Q|θ²]
CLOCK_STEPS = (16, 32, 64, 128, 256, 512)
TRAJECTORIES = 8192
TIMES = (0.0, 0.25, 0.5, 0.75)
PROBE = 0.02  # of log σ
T4_HOUR = 3600.0  # seconds. The paper spends 1 to 2 hours of a T4 on one schedule.


def theory(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """All three statements."""
    study = Study("theory", out, revision=1)
    clocks = CLOCK_STEPS[: 3 if quick else None]
    values = {task: _value_records(study, task, clocks) for task in ("gaussian_1d", "mixture_1d")}
    pictures.error_curves(
        study.folder / "theory.png",
        {task: {steps: abs(record["gap"][0]) for steps, record in of.items()} for task, of in values.items()},
        y_label="|E[J] − J(mean) − constant|, in units of E[|Q|θ²]",
        x_label="steps of the clock",
    )
    texts = [_value_table(task, records) for task, records in values.items()]
    texts.append(_learned_table(study, ("gaussian_1d", "mixture_1d") if quick else BUILT_IN, seeds, quick))
    return study.finish("Theory", "\n\n".join(texts))


def _value_records(study: Study, task: str, clocks: tuple[int, ...]) -> dict[int, Record]:
    return {
        steps: study.once({"what": "value", "task": task, "clock_steps": steps}, partial(_values, resolve(task), steps))
        for steps in clocks
    }


def _value_table(task: str, records: dict[int, Record]) -> str:
    rows = [[str(steps), *_cells(record)] for steps, record in records.items()]
    *_, coarse, fine = records
    rows.append([f"∞ (2 g({fine}) − g({coarse}))", *_cells(extrapolated(records[coarse], records[fine]))])
    table = markdown(["clock steps", *(f"t = {t:g}" for t in TIMES)], rows)
    return (
        f"{task}: g = V^(λ)(t) − (V(t) + λt − λ), t = 0 being E[J]; ± 95 %. In n steps of the clock g has a bias of "
        f"O(1/n), which the last row takes off.\n\n{table}"
    )


def _learned_table(study: Study, tasks: tuple[str, ...], seeds: tuple[int, ...], quick: bool) -> str:
    rows = []
    for task in tasks:
        runs = [
            study.once(
                {"what": "learned", "task": task, "seed": seed, "quick": quick}, partial(_learned, task, seed, quick)
            )
            for seed in seeds
        ]
        excess = [run["cost_ratio"] for run in runs]
        seconds = [run["seconds"] for run in runs]
        rows.append(
            [
                task,
                str(len(runs)),
                interval(excess, 4),
                f"{max(excess):.4f}",
                f"{np.mean(seconds):.0f} ({max(seconds):.0f})",
                f"{T4_HOUR / np.mean(seconds):.0f}",
            ]
        )
    heads = ["task", "seeds", "cost / closed form's (IQM)", "worst", "seconds (slowest)", "times faster than a T4-hour"]
    return markdown(heads, rows)


def extrapolated(coarse: Record, fine: Record) -> Record:
    """Gaps at infinitely many steps of the clock, from n and 2n of them: 2 g(2n) − g(n) has no bias of O(1/n).

    The interval is for independent estimates. Both start from the same noises, so it is a little too wide.
    """
    pairs = [np.array([record[key] for record in (coarse, fine)]) for key in ("gap", "half")]
    return {"gap": list(2 * pairs[0][1] - pairs[0][0]), "half": list(np.hypot(pairs[1][0], 2 * pairs[1][1]))}


def _cells(record: Record) -> list[str]:
    return [f"{gap:+.4f} ± {half:.4f}" for gap, half in zip(record["gap"], record["half"], strict=True)]


def cost_ratio(model: ARTRL, denoiser: Denoiser, count: int) -> float:
    """∫ E|Q| θ² dt of the learned clock over its least value (∫ √(E|Q|) dτ)², on held-out noises."""
    start, _ = get_bank(denoiser, "heldout", 4096).first(count)
    nodes, widths, stiffness = stiffness_profile(denoiser, start)
    levels = model.levels(1024)
    time = np.append(np.interp(-nodes, -levels, np.linspace(0, 1, len(levels))), 1.0)
    density = np.maximum(np.diff(time) / widths, 1e-9)  # dt / d log σ = 1/θ
    return float((stiffness / density * widths).sum() / (np.sqrt(stiffness) * widths).sum() ** 2)


def _learned(task: str, seed: int, quick: bool) -> Record:
    denoiser = resolve(task)
    trained = train_art_rl(task, seed, QUICK_SHARE if quick else 1.0)
    return {
        "cost_ratio": cost_ratio(trained.model, denoiser, 512 if denoiser.shape == (1, 8, 8) else 2048),
        "seconds": trained.seconds,
        "evaluations": trained.evaluations,
    }


def _values(denoiser: Denoiser, clock_steps: int) -> Record:
    """Reward to go from t, for the mean clock and for N(m, λ/|Q|), from the same states on the mean path.

    m(ψ) = c / √(E|Q|) is the optimum. Any multiplier will do here, because −γ (E ψ(T) − 1) is in both sums. A
    trajectory that reaches the end of the clock before t = 1 stays there.
    """
    clock = Clock.of(denoiser)
    x = denoiser.sigma_max * np.random.default_rng(1).standard_normal((TRAJECTORIES, *denoiser.shape))
    rng = np.random.default_rng(2)
    position = np.linspace(0, 1, 513)[:-1]
    profile = _profile(denoiser, clock, x[:1024], position)
    time = np.concatenate([[0], np.cumsum(np.sqrt(profile)) / np.sqrt(profile).sum()])

    def mean_speed(at: np.ndarray) -> np.ndarray:
        slope = np.diff(time) * len(position)  # dt/dψ
        speed: np.ndarray = 1 / slope[np.minimum((at * len(position)).astype(int), len(position) - 1)]
        return speed

    unit = float(np.interp(np.linspace(0, 1, 4096), time[:-1], profile * mean_speed(position) ** 2).mean())
    multiplier = -2.0
    gaps, halves = [], []
    for t in TIMES:
        skipped = round(t * clock_steps)
        start_x, start_position = _roll(denoiser, clock, x, np.zeros(len(x)), mean_speed, 0, skipped, clock_steps)[:2]
        args = (denoiser, clock, start_x, start_position, mean_speed, skipped, clock_steps, clock_steps)
        mean = _roll(*args, unit=unit, multiplier=multiplier)[2]
        noisy = _roll(*args, unit=unit, multiplier=multiplier, rng=rng)[2]
        difference = noisy - mean + TEMPERATURE * (1 - t)  # V^(λ) − V + λ(T − t)
        gaps.append(float(difference.mean()))
        halves.append(float(1.96 * difference.std() / np.sqrt(len(x))))
    return {"gap": gaps, "half": halves}


def _profile(denoiser: Denoiser, clock: Clock, x: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(M,) E|Q| at positions, along one fine trajectory."""
    values, at = [], np.zeros(len(x))
    for here, after in zip(position, [*position[1:], 1.0], strict=True):
        sigma = _sigma(clock, np.full(len(x), here))
        denoised = denoiser(x, sigma)
        values.append(clock_stiffness(denoiser, denoiser, x, denoised, sigma, PROBE).mean())
        at = _sigma(clock, np.full(len(x), after))
        ratio = (at / sigma)[:, None]
        x = ratio * x + (1 - ratio) * denoised
    return np.array(values)


def _roll(
    denoiser: Denoiser,
    clock: Clock,
    x: np.ndarray,
    position: np.ndarray,
    mean_speed: Callable[[np.ndarray], np.ndarray],
    first: int,
    last: int,
    clock_steps: int,
    unit: float = 1.0,
    multiplier: float = 0.0,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take Euler steps ``first`` to ``last`` of the clock.

    Returns:
        The latents, their positions, and (B,) sums of (−|Q|θ² − γ(θ − 1)) Δt in units of E[|Q|θ²].
    """
    total = np.zeros(len(x))
    for _ in range(first, last):
        sigma = _sigma(clock, np.minimum(position, 1 - 1e-4))
        denoised = denoiser(x, sigma)
        stiffness = np.maximum(clock_stiffness(denoiser, denoiser, x, denoised, sigma, PROBE) / unit, 1e-3)
        speed = mean_speed(np.minimum(position, 1 - 1e-9))
        if rng is not None:
            speed = speed + np.sqrt(TEMPERATURE / stiffness) * rng.standard_normal(len(x))
        total += (-stiffness * speed**2 - multiplier * (speed - 1)) / clock_steps
        moved = np.clip(position + speed / clock_steps, 0, 1 - 1e-4)
        ratio = (_sigma(clock, moved) / sigma)[:, None]
        x, position = ratio * x + (1 - ratio) * denoised, moved
    return x, position, total


def _sigma(clock: Clock, position: np.ndarray) -> np.ndarray:
    return clock.sigma(torch.from_numpy(position)).numpy()
