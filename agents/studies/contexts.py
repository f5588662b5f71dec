"""What it is worth to know a context: the best grid of each setting against the best one that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import visible
from art_gym.denoisers.diagonal import DiagonalMixture
from art_gym.denoisers.threads import one_thread
from art_gym.measures.errors import endpoint_error
from art_gym.schedules.fractions import LIMIT, levels_from_logits, logits_from_levels
from art_gym.schedules.grids.base import edm_grid
from art_gym.schedules.schedule import resampled
from art_gym.search.defect import defect
from art_gym.solvers.loop import integrate
from art_gym.tasks.exact.ring_2d import ring_2d
from art_gym.tasks.target import Target

from ..reports import pictures
from .guided import evolved
from .study import Record, Study, markdown

SCALES = (0.05, 0.2, 1.0, 4.0)  # of the ring
GUIDANCE, KNOWN = (1, 2, 4), (0.25, 0.5, 0.75)
STARTS, WIDTH = 2, 4.0  # searches for a shared grid; of a logit, for numbers of CMA-ES in [−1, 1]


class Effort(NamedTuple):
    """What is spent on a context: noises to fit to and to report on, and evaluations.

    Attributes:
        noises, heldout: of each setting.
        evaluations: of the denoiser, for the best grid of a setting.
        shared: of the cost of the shared grid, for each start.
    """

    noises: int
    heldout: int
    evaluations: float
    shared: int


EXACT, NETWORK = Effort(2048, 2048, 1e6, 300), Effort(256, 256, 6e4, 156)
QUICK = Effort(64, 64, 4e3, 12)


@dataclass(frozen=True)
class Setting:
    """One setting of a context: what is sampled, in how many steps."""

    label: str
    target: Target
    num_steps: int

    def error(self, levels: np.ndarray, split: str, count: int) -> float:
        """The mean endpoint error of (K+1,) levels on the first noises of a split."""
        start, endpoints = self.target.noises(split, count)
        samples = integrate(self.target.denoiser, levels, start, self.target.solver)
        return float(endpoint_error(*(visible(x, self.target.denoiser) for x in (samples, endpoints))).mean())


def _ring(scale: float) -> DiagonalMixture:
    means = ring_2d().means  # type: ignore[attr-defined]
    return DiagonalMixture(scale * means, np.full(means.shape, (0.15 * scale) ** 2))


def _scales(k: int) -> list[Setting]:
    return [Setting(f"{scale:g}", Target.of(_ring(scale)), k) for scale in SCALES]


def _steps(task: str) -> list[Setting]:
    return [Setting(str(k), Target.of(task), k) for k in (5, 7, 10)]


def _solvers(task: str, k: int) -> list[Setting]:
    return [Setting(name, Target.of(task, name), k) for name in ("euler", "dpmpp_2m")]


def _guidance(k: int) -> list[Setting]:
    return [Setting(str(w), Target.of(f"digits_class?guidance={w}"), k) for w in GUIDANCE]


def _known(k: int) -> list[Setting]:
    tasks = ["digits_net", *(f"digits_inpaint{'' if share == 0.5 else f'?known={share:g}'}" for share in KNOWN)]
    return [Setting(f"{share:g}", Target.of(task), k) for share, task in zip((0, *KNOWN), tasks, strict=True)]


CONTEXTS: dict[str, Callable[[], list[Setting]]] = {
    "data scale, Ring2D, K = 5": partial(_scales, 5),
    "data scale, Ring2D, K = 7": partial(_scales, 7),
    "K, Ring2D": partial(_steps, "ring_2d"),
    "K, Mixture1D": partial(_steps, "mixture_1d"),
    "solver, Ring2D, K = 7": partial(_solvers, "ring_2d", 7),
    "solver, Mixture1D, K = 7": partial(_solvers, "mixture_1d", 7),
    **{f"known share, Digits, K = {k}": partial(_known, k) for k in (5, 7)},
    "guidance, DigitsClass, K = 5": partial(_guidance, 5),
}


def contexts(out: Path, seeds: tuple[int, ...], quick: bool) -> str:
    """The error of the shared grid over that of each setting's best grid, on held-out noise."""
    study = Study("contexts", out)
    names = [*CONTEXTS][2:3] if quick else [*CONTEXTS]
    with one_thread():
        records = {
            name: study.once({"context": name, "quick": quick}, partial(_measured, name, quick)) for name in names
        }
    ratios = {name: _ratio(record) for name, record in records.items()}
    pictures.bars(study.folder / "contexts.png", ratios, "error of the shared grid over each setting's best grid's")
    rows = [
        [name, _cells(record, None), f"{ratios[name]:.2f}", _cells(record, "ratio")] for name, record in records.items()
    ]
    heads = ["context", "settings", "shared over best, geometric mean", "of each setting"]
    return study.finish("What a context is worth", markdown(heads, rows))


def _cells(record: Record, which: str | None) -> str:
    found = record["settings"]
    return ", ".join(one["label"] if which is None else f"{one['shared'] / one['best']:.2f}" for one in found)


def _ratio(record: Record) -> float:
    return float(np.exp(np.mean([np.log(one["shared"] / one["best"]) for one in record["settings"]])))


def _measured(name: str, quick: bool) -> Record:
    """Errors of the best grid of each setting, of the shared grid and of EDM's, on held-out noise."""
    settings = CONTEXTS[name]()
    effort = QUICK if quick else NETWORK if "Digits" in name else EXACT
    best = [_best(setting, effort) for setting in settings]
    base = _shared(settings, best, effort)
    found = [
        {
            "label": setting.label,
            "best": setting.error(levels, "heldout", effort.heldout),
            "shared": setting.error(_of(base, setting), "heldout", effort.heldout),
            "edm": setting.error(edm_grid(setting.num_steps, setting.target.denoiser), "heldout", effort.heldout),
            "levels": levels.tolist(),
        }
        for setting, levels in zip(settings, best, strict=True)
    ]
    return {"settings": found, "levels": base.tolist()}


def _best(setting: Setting, effort: Effort) -> np.ndarray:
    target = setting.target
    start, endpoints = target.noises("train", effort.noises)
    return defect(target.denoiser, setting.num_steps, target.solver, start, endpoints, 0, effort.evaluations)


def _of(base: np.ndarray, setting: Setting) -> np.ndarray:
    """The levels of a shared grid for a setting, resampled where it has another K."""
    return base if len(base) == setting.num_steps + 1 else resampled(base, setting.num_steps)


def _shared(settings: list[Setting], best: list[np.ndarray], effort: Effort) -> np.ndarray:
    """The levels with the least mean log error over the settings on training noise.

    By CMA-ES from the two best among the grids of the settings and their geometric mean.
    """
    most, denoiser = max(setting.num_steps for setting in settings), settings[0].target.denoiser

    def cost(levels: np.ndarray) -> float:
        return float(np.mean([np.log(each.error(_of(levels, each), "train", effort.noises)) for each in settings]))

    starts = [levels if len(levels) == most + 1 else resampled(levels, most) for levels in best]
    starts.append(np.append(np.exp(np.mean([np.log(levels[:-1]) for levels in starts], axis=0)), 0.0))

    def of(numbers: np.ndarray) -> np.ndarray:
        levels: np.ndarray = levels_from_logits(WIDTH * numbers, denoiser)
        return levels

    found = sorted(starts, key=cost)[:STARTS]
    for start in found[:]:
        numbers = np.clip(logits_from_levels(start, denoiser), -LIMIT, LIMIT) / WIDTH
        found.append(of(evolved(lambda each: cost(of(each)), numbers, effort.shared, 0)))
    return min(found, key=cost)
