"""Grids and samplers for MNIST, by every compared method."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.samplers.freedom import Freedom
from art_gym.samplers.plans import Document
from art_gym.schedules.closed_forms import equidistribute, stiffness_profile
from art_gym.schedules.grids.base import make_grid
from art_gym.schedules.schedule import Schedule
from art_gym.search.defect import defect
from art_gym.search.sampler_defect import sampler_defect
from art_gym.search.tuned import tuned
from art_gym.solvers.base import get_solver
from art_gym.tasks.target import Target

from ..reports.comparison import tuned_label
from .art_rl import QUICK_SHARE, train_art_rl
from .mnist_measures import TASK, measured
from .sampler_measures import as_document, restored, stored
from .study import Record, Study

UNIFORM, DPM, EDM, EDM_TUNED = "Uniform", "DPM", "EDM", tuned_label("edm")
CLOSED, ART_RL, LEARNED, SAMPLER = "ART closed form", "ART-RL", "learned grid", "learned sampler"
NFE = (5, 9, 17, 25, 37, 69)  # those of the paper
TUNING = 24  # training noises for the two parameters of EDM's grid
STIFFNESS = 32  # latents on which the closed form measures E|Q|
GRID_EVALUATIONS = 50_000  # of the denoiser, for each learned grid
SAMPLER_EVALUATIONS = {5: 80_000, 9: 150_000}  # for each learned sampler, by its number of calls
LONGEST = {"rk4": 7, "dpmpp_2m": 17, "heun": 9}  # steps; beyond this a learned grid is that one, resampled
FREEDOM = Freedom()


class Sizes(NamedTuple):
    """How much is measured and searched.

    Attributes:
        nfe: denoiser calls.
        noises, with_endpoints: held-out noises for the Fréchet distance, and those of them with precise endpoints.
        training: noises for the searches.
        share: of the full budgets of the searches.
        art_rl: share of the shipped updates of ART-RL.
    """

    nfe: tuple[int, ...] = NFE
    noises: int = 512
    with_endpoints: int = 256
    training: int = 192
    share: float = 1.0
    art_rl: float = 1.0


QUICK = Sizes(NFE[:2], 32, 16, 16, 0.01, QUICK_SHARE)


class Methods:
    """The plans and measures of all methods, each found once and stored.

    Args:
        study: holds the records.
        sizes: of what is measured and searched.
        seed: of the searches.
    """

    def __init__(self, study: Study, sizes: Sizes, seed: int) -> None:
        self.study, self.sizes, self.seed = study, sizes, seed

    def measures(self, method: str, solver: str, nfe: int) -> Record:
        """The measures of a method at a number of calls."""
        plan, sizes = self.plan(method, solver, steps_of(solver, nfe)), self.sizes
        key: Record = {"measured": method, "solver": solver, "nfe": nfe, "noises": sizes.noises, "seed": self.seed}
        return self.study.once(key, lambda: measured(solver, plan, sizes.noises, sizes.with_endpoints))

    def plan(self, method: str, solver: str, num_steps: int) -> Document:
        """The plan of a method: a grid for the solver, or a sampler of K calls."""
        key: Record = {"method": method, "num_steps": num_steps, "seed": self.seed, "share": self.sizes.share}
        if method in (EDM_TUNED, LEARNED):
            key["solver"] = solver
        makers: dict[str, Callable[[], object]] = {
            UNIFORM: lambda: make_grid("uniform", num_steps, Target.of(TASK).denoiser),
            DPM: lambda: np.append(np.geomspace(*_range(), num_steps), 0.0),
            EDM: lambda: make_grid("edm", num_steps, Target.of(TASK).denoiser),
            EDM_TUNED: lambda: self._tuned(solver, num_steps),
            CLOSED: lambda: _closed_form(num_steps),
            ART_RL: lambda: self._art_rl(num_steps),
            LEARNED: lambda: self._learned(solver, num_steps),
            SAMPLER: lambda: self._sampler(num_steps),
        }
        found = self.study.once({"plan": TASK, **key}, lambda: stored(as_document(makers[method]())))
        return restored(found)

    def _tuned(self, solver: str, num_steps: int) -> np.ndarray:
        start, endpoints = self._noises(solver)
        return tuned("edm", num_steps, Target.of(TASK).denoiser, solver, start[:TUNING], endpoints[:TUNING])[0]

    def _learned(self, solver: str, num_steps: int) -> np.ndarray:
        if num_steps > LONGEST[solver]:
            plan = self.plan(LEARNED, solver, LONGEST[solver])
            return np.array(Schedule(plan.sigmas, LEARNED, TASK, solver).resample(num_steps).sigmas)
        evaluations = GRID_EVALUATIONS * self.sizes.share
        return defect(Target.of(TASK).denoiser, num_steps, solver, *self._noises(solver), self.seed, evaluations)

    def _sampler(self, num_steps: int) -> object:
        levels = np.array(self.plan(LEARNED, "dpmpp_2m", num_steps).sigmas)
        evaluations = SAMPLER_EVALUATIONS[num_steps] * self.sizes.share
        counted = Counted(Target.of(TASK).denoiser)
        noises = self._noises("dpmpp_2m")
        return sampler_defect(counted, num_steps, FREEDOM, *noises, self.seed, evaluations, levels)

    def _art_rl(self, num_steps: int) -> np.ndarray:
        found = self.study.once({"trained": ART_RL, "seed": self.seed, "share": self.sizes.art_rl}, self._train_art_rl)
        return np.array(found["levels"][str(num_steps)])

    def _train_art_rl(self) -> Record:
        trained = train_art_rl(TASK, self.seed, self.sizes.art_rl)
        levels = {str(k): trained.model.levels(k).tolist() for k in range(2, 70)}
        return {"levels": levels, "seconds": trained.seconds, "evaluations": trained.evaluations}

    def _noises(self, solver: str) -> tuple[np.ndarray, np.ndarray]:
        return Target.of(TASK, solver).noises("train", self.sizes.training)


def steps_of(solver: str, nfe: int) -> int:
    """The K that takes this many denoiser calls."""
    return (nfe - 1) // get_solver(solver).calls_per_step + 1


def _range() -> tuple[float, float]:
    denoiser = Target.of(TASK).denoiser
    return denoiser.sigma_max, denoiser.sigma_min


@lru_cache(maxsize=1)
def _stiffness() -> tuple[np.ndarray, np.ndarray]:
    """The levels and E|Q| along a fine trajectory, the same for every K."""
    target = Target.of(TASK)
    start = target.noises("train", STIFFNESS)[0]
    nodes, _, stiffness = stiffness_profile(target.denoiser, start)
    return nodes, stiffness


def _closed_form(num_steps: int) -> np.ndarray:
    nodes, stiffness = _stiffness()
    return equidistribute(nodes, np.sqrt(stiffness), num_steps)
