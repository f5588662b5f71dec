"""The paper's Table 1: Wasserstein-2 distance of K Euler steps in σ to N(0, 1), from exact samples at σ_max = 3.

The flow is linear and the samples stay Gaussian, so the distance is |1 − std| and needs no sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from art_gym.denoisers.mixture import GaussianMixture
from art_gym.schedules.closed_forms import art
from art_gym.search.tuned import tuned

from ..reports import pictures
from ..reports.comparison import tuned_label
from .art_rl import QUICK_SHARE, train_art_rl
from .study import Record, Study, interval, markdown

STEPS = (2, 5, 10, 20, 50, 100)
SIGMA_MAX, LOWEST = 3.0, 1e-4
PAPER = {  # arXiv:2607.02137, Table 1
    "Uniform": (0.468, 0.215, 0.114, 0.060, 0.027, 0.016),
    "DPM": (0.670, 0.401, 0.211, 0.113, 0.049, 0.027),
    "EDM": (0.664, 0.319, 0.177, 0.094, 0.041, 0.023),
    "ART-RL": (0.345, 0.149, 0.079, 0.042, 0.020, 0.013),
}
GRIDS: dict[str, Callable[[int], np.ndarray]] = {
    "Uniform": lambda k: np.linspace(SIGMA_MAX, 0, k + 1),
    "DPM": lambda k: np.geomspace(SIGMA_MAX, LOWEST, k + 1),  # stops at the lowest level
    "EDM": lambda k: (SIGMA_MAX ** (1 / 7) * np.linspace(1, 0, k + 1)) ** 7,
    "arctan (the optimum)": lambda k: np.tan(np.arctan(SIGMA_MAX) * np.linspace(1, 0, k + 1)),
}


def target() -> GaussianMixture:
    """N(0, 1) with the noise range of the paper's example."""
    return GaussianMixture(np.zeros((1, 1)), 1.0, sigma_min=LOWEST, sigma_max=SIGMA_MAX)


def distance(levels: np.ndarray) -> float:
    """|1 − std| after Euler steps along (K+1,) levels from N(0, 1 + σ_max²), D(x, σ) = x/(1 + σ²)."""
    ratio = levels[1:] / levels[:-1]
    factors = ratio + (1 - ratio) / (1 + levels[:-1] ** 2)
    return abs(1 - float(np.sqrt(1 + levels[0] ** 2) * np.prod(factors)))


def closed_form(num_steps: int) -> np.ndarray:
    """(K+1,) levels with equal ∫ √|Q| dσ between them, Q = d²x/dσ² ∝ (1 + σ²)^{−3/2}, by fine quadrature."""
    fine = np.linspace(0, SIGMA_MAX, 200_001)
    density = (1 + fine**2) ** -0.75
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(np.linspace(cumulative[-1], 0, num_steps + 1), cumulative, fine)


def table1(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """Compute all rows, and put them beside the paper's."""
    study = Study("table1", out, revision=1)
    rows = {name: [distance(make(k)) for k in STEPS] for name, make in GRIDS.items()}
    rows["ART closed form"] = [distance(closed_form(k)) for k in STEPS]
    denoiser = target()
    start = SIGMA_MAX * np.random.default_rng(0).standard_normal((512, 1))
    # The flow is linear and treats all noises alike, so a few suffice to fit the two parameters.
    noises = start[:16], start[:16] / np.hypot(1, SIGMA_MAX)
    rows[tuned_label("edm")] = [distance(tuned("edm", k, denoiser, "euler", *noises)[0]) for k in STEPS]
    # E|Q| by finite differences along one fine trajectory, as for any other model.
    rows["ART closed form, measured"] = [distance(art(denoiser, k, start)) for k in STEPS]
    learned: dict[str, list[list[float]]] = {}
    for name, env in (("ART-RL", {}), ("ART-RL, dual-weighted", {"reward": "dual_stiffness"})):
        for seed in seeds:

            def compute(name: str = name, env: dict[str, str] = env, seed: int = seed) -> Record:
                trained = train_art_rl(denoiser, seed, QUICK_SHARE if quick else 1.0, env)
                return {
                    "distances": [distance(trained.model.levels(k)) for k in STEPS],
                    "seconds": trained.seconds,
                    "evaluations": trained.evaluations,
                }

            record = study.once({"method": name, "seed": seed, "quick": quick}, compute)
            learned.setdefault(name, []).append(record["distances"])
    for name, values in rows.items():
        study.once({"method": name}, lambda values=values: {"distances": values})  # type: ignore[misc]
    lines = [[f"{name}, the paper's", *(f"{value:.3f}" for value in PAPER[name])] for name in PAPER]
    lines += [[name, *(f"{value:.4f}" for value in values)] for name, values in rows.items()]
    for name, runs in learned.items():
        lines.append([f"{name}, {len(runs)} seeds", *(interval(column, 4) for column in zip(*runs, strict=True))])
    text = markdown(["W2", *(f"K = {k}" for k in STEPS)], lines)
    curves = {**rows, **{name: list(np.mean(runs, axis=0)) for name, runs in learned.items()}}
    pictures.error_curves(
        study.folder / "table1.png",
        {name: dict(zip(STEPS, values, strict=True)) for name, values in curves.items()},
        highlight="ART-RL",
        y_label="Wasserstein-2 distance to N(0, 1)",
    )
    return study.finish("The paper's Table 1", text)
