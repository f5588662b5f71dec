"""The rows of the study of samplers: every compared method, and the budget of each task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from art_gym.denoisers.base import Counted
from art_gym.samplers.freedom import MOST_MEMORY, Freedom
from art_gym.samplers.plans import Plan
from art_gym.schedules.grids.base import edm_grid
from art_gym.schedules.step_optim import step_optim
from art_gym.search.defect import defect
from art_gym.search.sampler_defect import sampler_defect
from art_gym.search.tuned import tuned
from art_gym.tasks.target import Target

from .peers import MEMORY, MULTISTEP, ROUNDS, Learning, best_grid_of, bns, s4s

RATES = 0.05, 0.02  # of Adam. Both are tried, and the training noises choose: neither is good everywhere.
TUNING_NOISES = 512  # for EDM's two parameters


class Budget(NamedTuple):
    """What the searches of a task may use.

    Attributes:
        training, heldout: noises to fit on, and to measure on.
        peers, ours: evaluations of the denoiser for each grid, and for each sampler by Gauss-Newton; None for the
            search's own default.
        updates, batch: of Adam.
        every_seed: whether Gauss-Newton for samplers runs with every seed. All other searches take the first one.
    """

    training: int
    heldout: int
    peers: float
    ours: float | None
    updates: int
    batch: int = 64
    every_seed: bool = False


TINY = Budget(4096, 2048, 1.5e7, None, 4000, every_seed=True)
BUDGETS = {
    "ring_2d": TINY,
    "checkerboard_2d": TINY,
    "mixture_1d": TINY,
    "digits": Budget(4096, 2048, 1e6, None, 2000, every_seed=True),
    "digits_net": Budget(512, 2048, 3e5, 6e5, 1000),
}
QUICK = Budget(64, 128, 2e3, 2e3, 8, 16)


@dataclass(frozen=True)
class Problem:
    """What is sampled in how many steps, and what a search may use.

    Attributes:
        target: the task, with DPM-Solver++(2M).
        num_steps: K.
        budget: of the task.
        levels: (K+1,) of a good grid for 2M, with which searches begin.
        seed: of the searches.
        rate: of Adam.
    """

    target: Target
    num_steps: int
    budget: Budget
    levels: np.ndarray
    seed: int
    rate: float

    def learning(self) -> Learning:
        """The training noises, with the budget of the peers."""
        noises = self.target.noises("train", self.budget.training)
        return Learning(*noises, self.budget.peers, self.budget.updates, self.budget.batch, self.rate, self.seed)


class Method(NamedTuple):
    """A row.

    Attributes:
        chosen: what is chosen, in words.
        numbers: how many numbers that is, for K steps.
        make: finds the plan, with a denoiser that counts the cost.
        begins: whether it begins with the good grid, so that the cost of that grid is its cost too.
        seeded: whether it may run with every seed.
        rates: of Adam, to try.
    """

    chosen: str
    numbers: Callable[[int], int]
    make: Callable[[Problem, Counted], Plan]
    begins: bool = False
    seeded: bool = False
    rates: tuple[float, ...] = RATES[:1]  # that of searches without Adam has no effect


EDM, GRID, KNOWN = "EDM's grid, 2M", "best grid, 2M", "best sampler known"
S4S, S4S_ALT, BNS, BNS_TOLD = "S4S-like", "S4S-Alt-like", "BNS-like", "BNS-like, told levels too"
OURS = {
    "ours: two shared factors": Freedom(1, False, shared=True),
    "ours: w": Freedom(2, False),
    "ours: w, c": Freedom(2, True),
    "ours: w, c, v": Freedom(3, True),
    "ours: c, every weight": Freedom(MOST_MEMORY, True),
}
SAMPLER = "ours: w, c, v"
LEARNED = (S4S, S4S_ALT, BNS, BNS_TOLD, *OURS, KNOWN)
LEVELS = "levels"


def good_grid(target: Target, num_steps: int, budget: Budget, denoiser: Counted) -> np.ndarray:
    """A grid for 2M by Gauss-Newton, with which searches begin."""
    noises = target.noises("train", budget.training)
    return defect(denoiser, num_steps, target.solver, *noises, evaluations=budget.ours)


def methods() -> dict[str, Method]:
    """All rows in their order, without those of the stored oracles."""
    found = {
        EDM: Method("nothing", lambda _: 0, lambda problem, denoiser: edm_grid(problem.num_steps, denoiser)),
        "EDM's grid, tuned, 2M": Method("ρ and last level", lambda _: 2, _tuned),
        "StepOptim's grid, 2M": Method(
            "levels, without the model", _levels, lambda problem, denoiser: step_optim(denoiser, problem.num_steps)
        ),
        GRID: Method(LEVELS, _levels, lambda problem, _: problem.levels, begins=True),
    }
    for name in MULTISTEP:
        found[f"best grid, {name}"] = Method(LEVELS, _levels, partial(_multistep, name), True)
    weights, every = Freedom(MEMORY, False), _freedom(Freedom(MOST_MEMORY, True))
    return found | {
        S4S: Method("weights of 3 calls", lambda k: len(weights.places(k)), partial(_s4s, 0), True, rates=RATES),
        S4S_ALT: Method("levels, weights of 3 calls", weights.size, partial(_s4s, ROUNDS), True, rates=RATES),
        BNS: Method(
            "levels, every weight", _freedom(Freedom(MOST_MEMORY, False)), partial(_bns, False), True, rates=RATES
        ),
        BNS_TOLD: Method("levels, every weight, told levels", every, partial(_bns, True), True, rates=RATES),
        **{
            name: Method(_in_words(name), _freedom(freedom), partial(_ours, freedom), True, True)
            for name, freedom in OURS.items()
        },
    }


def within(freedom: Freedom, num_steps: int) -> Freedom:
    """The same freedom, with no more memory than there are steps."""
    return replace(freedom, memory=min(freedom.memory, num_steps))


def _in_words(name: str) -> str:
    known = {
        "two shared factors": "levels, 2 factors for all steps",
        "w": "levels, a weight a step",
        "w, c": "levels, a weight and a told level a step",
        "w, c, v": "levels, 2 weights and a told level a step",
        "c, every weight": "levels, every weight, told levels",
    }
    return known[name.removeprefix("ours: ")]


def _levels(num_steps: int) -> int:
    return num_steps - 1


def _freedom(freedom: Freedom) -> Callable[[int], int]:
    return lambda num_steps: within(freedom, num_steps).size(num_steps)


def _tuned(problem: Problem, denoiser: Counted) -> Plan:
    noises = problem.target.noises("train", min(problem.budget.training, TUNING_NOISES))
    return tuned("edm", problem.num_steps, denoiser, problem.target.solver, *noises)[0]


def _multistep(name: str, problem: Problem, denoiser: Counted) -> Plan:
    return best_grid_of(MULTISTEP[name], denoiser, problem.levels, problem.learning())


def _s4s(rounds: int, problem: Problem, denoiser: Counted) -> Plan:
    return s4s(denoiser, problem.levels, problem.learning(), rounds)


def _bns(told: bool, problem: Problem, denoiser: Counted) -> Plan:
    return bns(denoiser, problem.levels, problem.learning(), told)


def _ours(freedom: Freedom, problem: Problem, denoiser: Counted) -> Plan:
    noises = problem.target.noises("train", problem.budget.training)
    given = problem.budget.ours, problem.levels
    return sampler_defect(
        denoiser, problem.num_steps, within(freedom, problem.num_steps), *noises, problem.seed, *given
    )
